{% macro element(array, number) -%}
    {{ return(adapter.dispatch('element')(array, number)) }}
{%- endmacro %}

{% macro default__element(array, number) -%}
    try_element_at({{ array }}, {{ number }})
{%- endmacro %}

{% macro duckdb__element(array, number) -%}
    list_extract({{ array }}, {{ number }})
{%- endmacro %}
