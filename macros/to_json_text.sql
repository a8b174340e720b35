{% macro to_json_text(value) -%}
    {{ return(adapter.dispatch('to_json_text')(value)) }}
{%- endmacro %}

{% macro default__to_json_text(value) -%}
    to_json({{ value }}, map('ignoreNullFields', 'false'))
{%- endmacro %}

{% macro duckdb__to_json_text(value) -%}
    cast(to_json({{ value }}) as varchar)
{%- endmacro %}
