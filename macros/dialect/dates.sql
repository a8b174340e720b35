{% macro date_key(date) -%}
    cast(
        extract(year from {{ date }}) * 10000
        + extract(month from {{ date }}) * 100
        + extract(day from {{ date }}) as integer
    )
{%- endmacro %}

{% macro iso_day_of_week(date) -%}
    {#- Monday is 1, as in ISO 8601; 1900-01-01 was a Monday. -#}
    cast(
        {{ dbt.datediff("cast('1900-01-01' as date)", date, 'day') }} % 7 + 1 as integer
    )
{%- endmacro %}

{% macro explode_date_series(first, last) -%}
    {{ return(adapter.dispatch('explode_date_series')(first, last)) }}
{%- endmacro %}

{% macro default__explode_date_series(first, last) -%}
    explode(sequence(cast({{ first }} as date), cast({{ last }} as date)))
{%- endmacro %}

{% macro duckdb__explode_date_series(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}

{% macro parse_utc_timestamp(text) -%}
    {#- Only ISO 8601, so that all engines parse the same texts. Their casts also accept
        names of time zones, which are ambiguous (IST), single digits, words such as
        `epoch`, and offsets that no place on earth has. -#}
    {%- set pattern -%}
    [0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?
    {{- '(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?)?' -}}
    {%- endset -%}
    {{ return(adapter.dispatch('parse_utc_timestamp')(text, pattern)) }}
{%- endmacro %}

{# A cast does not know `24:00`, the end of a day. The extracted text is compared with
   the whole text, because `$` in a pattern also matches before a line break. #}
{% macro default__parse_utc_timestamp(text, pattern) -%}
    {%- set moment = "try_cast(regexp_replace(" ~ text ~ ", '^(.{11})24:', '$100:')"
        ~ " as timestamp_ltz)" -%}
    case
        when
            regexp_extract({{ text }}, '^{{ pattern }}', 0) <> {{ text }}
            or {{ text }} rlike '^.{11}24:(?!00(:00([.]0+)?([Z+-].*)?)?$)'
            then null
        when {{ moment }} >= timestamp_ltz '0001-01-01 00:00:00Z'
            then
                cast({{ moment }} as timestamp_ntz)
                + case
                    when substr({{ text }}, 12, 3) = '24:' then interval 1 day
                    else interval 0 day
                end
    end
{%- endmacro %}

{# A cast to `timestamp` would drop the offset of the text, so the text is cast to
   `timestamptz`. `epoch_us` is quicker than a second cast, which would use the time
   zone of the connection. #}
{% macro duckdb__parse_utc_timestamp(text, pattern) -%}
    case
        when
            regexp_full_match({{ text }}, '{{ pattern }}')
            and try_cast({{ text }} as timestamptz) >= timestamptz '0001-01-01 00:00:00Z'
            then make_timestamp(epoch_us(try_cast({{ text }} as timestamptz)))
    end
{%- endmacro %}

{% macro to_local_time(utc_timestamp, timezone) -%}
    {{ return(adapter.dispatch('to_local_time')(utc_timestamp, timezone)) }}
{%- endmacro %}

{# Java raises an error for the time zones that it does not have: ROC, and, before July
   2025, America/Coyhaique. This one had the time of Santiago until 20 March 2025, and has
   had that of Punta Arenas since (IANA, 2025b). #}
{% macro default__to_local_time(utc_timestamp, timezone) -%}
    case
        when {{ timezone }} in ({{ _timezone_names() }})
            then convert_timezone(
                'UTC',
                case
                    when {{ timezone }} = 'ROC' then 'Asia/Taipei'
                    when {{ timezone }} <> 'America/Coyhaique' then {{ timezone }}
                    when {{ utc_timestamp }} < timestamp_ntz '2025-03-20 03:00:00'
                        then 'America/Santiago'
                    else 'America/Punta_Arenas'
                end,
                {{ utc_timestamp }}
            )
    end
{%- endmacro %}

{# Null for a time zone that the engine does not know: its error would end the build,
   and `try` does not catch it. #}
{% macro duckdb__to_local_time(utc_timestamp, timezone) -%}
    case
        when {{ timezone }} in {{ timezones() }}
            then ({{ utc_timestamp }} at time zone 'UTC') at time zone {{ timezone }}
    end
{%- endmacro %}

{% macro timezones() -%}
    {#- A subquery: the names of the time zones. -#}
    {{ return(adapter.dispatch('timezones')()) }}
{%- endmacro %}

{% macro default__timezones() -%}
    (select explode(array({{ _timezone_names() }})) as timezone)
{%- endmacro %}

{% macro duckdb__timezones() -%}
    (
        select name as timezone
        from pg_timezone_names()
        where name in ({{ _timezone_names() }})
    )
{%- endmacro %}

{% macro _timezone_names() -%}
    {#- The names in IANA's database, the same for all engines. DuckDB also knows short
        names, some of which mean something else than most people think: for it, BST is
        the time of Bangladesh. -#}
    '{{ modules.pytz.all_timezones | join("', '") }}'
{%- endmacro %}

{% macro batch_ingested_at(batch_id) -%}
    {{ return(adapter.dispatch('batch_ingested_at')(batch_id)) }}
{%- endmacro %}

{% macro default__batch_ingested_at(batch_id) -%}
    to_timestamp_ntz(split_part({{ batch_id }}, '_', 1), "yyyyMMdd'T'HHmmssSSSSSS'Z'")
{%- endmacro %}

{% macro duckdb__batch_ingested_at(batch_id) -%}
    strptime(split_part({{ batch_id }}, '_', 1), '%Y%m%dT%H%M%S%fZ')
{%- endmacro %}
