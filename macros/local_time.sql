{% macro local_time(utc_timestamp, timezone) -%}
    {{ return(adapter.dispatch('local_time')(utc_timestamp, timezone)) }}
{%- endmacro %}

{% macro default__local_time(utc_timestamp, timezone) -%}
    case
        when {{ timezone }} in ({{ timezone_names() }})
            then convert_timezone('UTC', {{ timezone }}, {{ utc_timestamp }})
    end
{%- endmacro %}

{# A zone that the engine does not know is null, not the end of the build: `try` does
   not catch its error. #}
{% macro duckdb__local_time(utc_timestamp, timezone) -%}
    case
        when {{ timezone }} in {{ timezones() }}
            then ({{ utc_timestamp }} at time zone 'UTC') at time zone {{ timezone }}
    end
{%- endmacro %}
