{% macro unknown_key() -%}
    {{ return(adapter.dispatch('unknown_key')()) }}
{%- endmacro %}

{% macro default__unknown_key() -%}
    '00000000000000000000000000000000'
{%- endmacro %}

{% macro duckdb__unknown_key() -%}
    cast('00000000-0000-0000-0000-000000000000' as uuid)
{%- endmacro %}
