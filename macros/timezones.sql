{% macro timezones() -%}
    {#- A subquery: the names of the time zones that the engine knows. -#}
    {{ return(adapter.dispatch('timezones')()) }}
{%- endmacro %}

{% macro default__timezones() -%}
    (select explode(array({{ timezone_names() }})) as timezone)
{%- endmacro %}

{% macro duckdb__timezones() -%}
    (select name as timezone from pg_timezone_names())
{%- endmacro %}
