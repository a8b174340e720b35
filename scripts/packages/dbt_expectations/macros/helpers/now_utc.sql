{% macro now_utc() %}
    {{- return(adapter.dispatch("now_utc", "dbt_expectations")()) -}}
{% endmacro %}

{% macro default__now_utc() %}
    {{- return("timezone('UTC', now())") -}}
{% endmacro %}

{% macro spark__now_utc() %}
    {{- return("to_utc_timestamp(current_timestamp(), current_timezone())") -}}
{% endmacro %}
