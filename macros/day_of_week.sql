{% macro day_of_week(date) -%}
    {#- Monday is 1, as in ISO 8601; 1900-01-01 was a Monday. -#}
    cast(
        {{ dbt.datediff("cast('1900-01-01' as date)", date, 'day') }} % 7 + 1 as integer
    )
{%- endmacro %}
