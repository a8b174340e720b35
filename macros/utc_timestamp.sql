{% macro utc_timestamp(text) -%}
    {{ return(adapter.dispatch('utc_timestamp')(text)) }}
{%- endmacro %}

{# `24:00` is the end of a day, which a cast does not know. What is extracted is compared
   with the text, as a pattern's end would also stand before a line's end. #}
{% macro default__utc_timestamp(text) -%}
    case
        when regexp_extract({{ text }}, '^{{ _timestamp_pattern() }}', 0) <> {{ text }}
            then null
        when substr({{ text }}, 12, 2) <> '24' then {{ _timestamp_of(text) }}
        when {{ text }} rlike '^.{11}24:00(:00([.]0+)?([Z+-].*)?)?$'
            then {{ _timestamp_of(
                "concat(left(" ~ text ~ ", 11), '00', substr(" ~ text ~ ", 14))"
            ) }} + interval 1 day
    end
{%- endmacro %}

{# A cast straight to timestamp drops the offset of a text that has one. To count
   microseconds is quicker than another cast, which would ask the connection's time
   zone. #}
{% macro duckdb__utc_timestamp(text) -%}
    case
        when
            regexp_full_match({{ text }}, '{{ _timestamp_pattern() }}')
            and try_cast({{ text }} as timestamptz) >= timestamptz '0001-01-01 00:00:00Z'
            then make_timestamp(epoch_us(try_cast({{ text }} as timestamptz)))
    end
{%- endmacro %}

{# ISO 8601, so that engines read the same: their casts also take names of zones, which
   are ambiguous (IST), single digits, words such as `epoch`, and offsets that no place on
   earth has. #}
{% macro _timestamp_pattern() -%}
    [0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?
    {{- '(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?)?' -}}
{%- endmacro %}

{% macro _timestamp_of(text) -%}
    case
        when try_cast({{ text }} as timestamp_ltz) >= timestamp_ltz '0001-01-01 00:00:00Z'
            then cast(try_cast({{ text }} as timestamp_ltz) as timestamp_ntz)
    end
{%- endmacro %}
