{% macro now_utc() %}
    {{- return(adapter.dispatch("now_utc", "dbt_expectations")()) -}}
{% endmacro %}

{% macro duckdb__now_utc() %}
    {{- return("timezone('UTC', now())") -}}
{% endmacro %}
