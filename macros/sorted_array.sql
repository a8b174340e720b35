{% macro sorted_array(expression, condition) -%}
    {{ return(adapter.dispatch('sorted_array')(expression, condition)) }}
{%- endmacro %}

{% macro default__sorted_array(expression, condition) -%}
    sort_array(collect_list(case when {{ condition }} then {{ expression }} end))
{%- endmacro %}

{% macro duckdb__sorted_array(expression, condition) -%}
    coalesce(
        list({{ expression }} order by {{ expression }}) filter (where {{ condition }}),
        {{ empty_array() }}
    )
{%- endmacro %}
