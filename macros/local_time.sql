{% macro local_time(utc_timestamp, timezone) -%}
    {{ return(adapter.dispatch('local_time')(utc_timestamp, timezone)) }}
{%- endmacro %}

{% macro default__local_time(utc_timestamp, timezone) -%}
    from_utc_timestamp({{ utc_timestamp }}, {{ timezone }})
{%- endmacro %}

{# A zone that the engine does not know is null, not the end of the build: `try` does
   not catch its error. #}
{% macro duckdb__local_time(utc_timestamp, timezone) -%}
    case
        when {{ timezone }} in (select pg_timezone_names.name from pg_timezone_names())
            then ({{ utc_timestamp }} at time zone 'UTC') at time zone {{ timezone }}
    end
{%- endmacro %}
