{% macro sorted_array(expression, condition='true') -%}
    {{ return(adapter.dispatch('sorted_array')(expression, condition)) }}
{%- endmacro %}

{% macro default__sorted_array(expression, condition) -%}
    sort_array(collect_set(case when {{ condition }} then {{ expression }} end))
{%- endmacro %}

{% macro duckdb__sorted_array(expression, condition) -%}
    coalesce(
        list_sort(list(distinct {{ expression }}) filter (where {{ condition }})),
        {{ text_array() }}
    )
{%- endmacro %}
