{% macro json_record(columns) -%}
    {{ return(adapter.dispatch('json_record')(columns)) }}
{%- endmacro %}

{# Spark leaves out what is null unless it is told not to. #}
{% macro default__json_record(columns) -%}
    to_json(named_struct(
        {%- for column in columns %}'{{ column }}', {{ column }}
        {%- if not loop.last %}, {% endif %}{% endfor -%}
    ), map('ignoreNullFields', 'false'))
{%- endmacro %}

{% macro duckdb__json_record(columns) -%}
    cast(json_object(
        {%- for column in columns %}'{{ column }}', {{ column }}
        {%- if not loop.last %}, {% endif %}{% endfor -%}
    ) as varchar)
{%- endmacro %}
