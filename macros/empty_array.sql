{% macro empty_array() -%}
    {{ return(adapter.dispatch('empty_array')()) }}
{%- endmacro %}

{% macro default__empty_array() -%}
    cast(array() as array<string>)
{%- endmacro %}

{% macro duckdb__empty_array() -%}
    cast([] as varchar [])
{%- endmacro %}
