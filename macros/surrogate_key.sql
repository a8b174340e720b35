{% macro surrogate_key(columns) -%}
    {{ return(adapter.dispatch('surrogate_key')(columns)) }}
{%- endmacro %}

{% macro default__surrogate_key(columns) -%}
    md5({{ natural_key(columns) }})
{%- endmacro %}

{# 16 bytes instead of 32 characters: smaller files and faster joins. #}
{% macro duckdb__surrogate_key(columns) -%}
    cast(md5({{ natural_key(columns) }}) as uuid)
{%- endmacro %}
