{% macro timezones() -%}
    {#- A subquery: the names of the time zones that the engine knows. -#}
    {{ return(adapter.dispatch('timezones')()) }}
{%- endmacro %}

{% macro default__timezones() -%}
    (select explode(array({{ _zone_names() }})) as timezone)
{%- endmacro %}

{% macro duckdb__timezones() -%}
    (select name as timezone from pg_timezone_names())
{%- endmacro %}

{# Java 17 does not know the youngest one, and a zone that it does not know is an error. #}
{% macro _zone_names() -%}
    '{{ modules.pytz.all_timezones | reject('equalto', 'America/Coyhaique')
        | join("', '") }}'
{%- endmacro %}
