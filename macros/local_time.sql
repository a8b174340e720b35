{% macro local_time(utc_timestamp, timezone) -%}
    {{ return(adapter.dispatch('local_time')(utc_timestamp, timezone)) }}
{%- endmacro %}

{% macro default__local_time(utc_timestamp, timezone) -%}
    from_utc_timestamp({{ utc_timestamp }}, {{ timezone }})
{%- endmacro %}

{# try: a zone that the engine does not know is null, not the end of the build. #}
{% macro duckdb__local_time(utc_timestamp, timezone) -%}
    try(({{ utc_timestamp }} at time zone 'UTC') at time zone {{ timezone }})
{%- endmacro %}
