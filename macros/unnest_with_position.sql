{% macro unnest_with_position(array, item, position) -%}
    {{ return(adapter.dispatch('unnest_with_position')(array, item, position)) }}
{%- endmacro %}

{% macro default__unnest_with_position(array, item, position) -%}
    posexplode({{ array }}) as ({{ position }}, {{ item }})
{%- endmacro %}

{# Thirty times faster than `cross join unnest(...) with ordinality` in duckdb 1.5. #}
{% macro duckdb__unnest_with_position(array, item, position) -%}
    generate_subscripts({{ array }}, 1) - 1 as {{ position }},
    unnest({{ array }}) as {{ item }}
{%- endmacro %}
