{% macro utc_timestamp(text) -%}
    {#- ISO 8601, so that engines read the same: their casts also take names of zones,
        which are ambiguous (IST), single digits, words such as `epoch`, and offsets that
        no place on earth has. -#}
    {%- set pattern -%}
    [0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?
    {{- '(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?)?' -}}
    {%- endset -%}
    {{ return(adapter.dispatch('utc_timestamp')(text, pattern)) }}
{%- endmacro %}

{# `24:00` is the end of a day, which a cast does not know. What is extracted is compared
   with the text, as a pattern's end would also stand before a line's end. #}
{% macro default__utc_timestamp(text, pattern) -%}
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

{# A cast straight to timestamp drops the offset of a text that has one. To count
   microseconds is quicker than another cast, which would ask the connection's time
   zone. #}
{% macro duckdb__utc_timestamp(text, pattern) -%}
    case
        when
            regexp_full_match({{ text }}, '{{ pattern }}')
            and try_cast({{ text }} as timestamptz) >= timestamptz '0001-01-01 00:00:00Z'
            then make_timestamp(epoch_us(try_cast({{ text }} as timestamptz)))
    end
{%- endmacro %}
