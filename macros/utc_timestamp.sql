{% macro utc_timestamp(text) -%}
    {{ return(adapter.dispatch('utc_timestamp')(text)) }}
{%- endmacro %}

{% macro default__utc_timestamp(text) -%}
    try_to_timestamp({{ text }})
{%- endmacro %}

{# A cast straight to timestamp drops the offset of a text that has one. Without one a
   text is UTC, as the connection is. `epoch` and `infinity` are no times, and neither is
   what lies before the year 1. To count microseconds is quicker than another cast, which
   would ask the connection's time zone. #}
{% macro duckdb__utc_timestamp(text) -%}
    case
        when
            {{ text }} like '____-%'
            and try_cast({{ text }} as timestamptz) >= timestamptz '0001-01-01 00:00:00Z'
            then make_timestamp(epoch_us(try_cast({{ text }} as timestamptz)))
    end
{%- endmacro %}
