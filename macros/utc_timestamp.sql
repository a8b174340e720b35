{% macro utc_timestamp(text) -%}
    {{ return(adapter.dispatch('utc_timestamp')(text)) }}
{%- endmacro %}

{% macro default__utc_timestamp(text) -%}
    try_to_timestamp({{ text }})
{%- endmacro %}

{# A cast straight to timestamp drops the offset of a text that has one. Without one a
   text is UTC, as the connection is. #}
{% macro duckdb__utc_timestamp(text) -%}
    cast(try_cast({{ text }} as timestamptz) as timestamp)
{%- endmacro %}
