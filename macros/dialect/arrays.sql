{% macro array_size(array) -%}
    {{ return(adapter.dispatch('array_size')(array)) }}
{%- endmacro %}

{% macro default__array_size(array) -%}
    array_size({{ array }})
{%- endmacro %}

{% macro duckdb__array_size(array) -%}
    len({{ array }})
{%- endmacro %}

{% macro array_element(array, number) -%}
    {{ return(adapter.dispatch('array_element')(array, number)) }}
{%- endmacro %}

{% macro default__array_element(array, number) -%}
    try_element_at({{ array }}, {{ number }})
{%- endmacro %}

{% macro duckdb__array_element(array, number) -%}
    list_extract({{ array }}, {{ number }})
{%- endmacro %}

{% macro distinct_sorted_array(expression, condition='true') -%}
    {{ return(adapter.dispatch('distinct_sorted_array')(expression, condition)) }}
{%- endmacro %}

{% macro default__distinct_sorted_array(expression, condition) -%}
    sort_array(collect_set(case when {{ condition }} then {{ expression }} end))
{%- endmacro %}

{% macro duckdb__distinct_sorted_array(expression, condition) -%}
    coalesce(
        list_sort(list(distinct {{ expression }}) filter (where {{ condition }})),
        {{ text_array() }}
    )
{%- endmacro %}

{% macro text_array(elements=[]) -%}
    {{ return(adapter.dispatch('text_array')(elements)) }}
{%- endmacro %}

{% macro default__text_array(elements) -%}
    cast(array({{ elements | join(', ') }}) as array<string>)
{%- endmacro %}

{% macro duckdb__text_array(elements) -%}
    cast([{{ elements | join(', ') }}] as varchar [])
{%- endmacro %}

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
