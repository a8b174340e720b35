{% macro text_array(elements=[]) -%}
    {{ return(adapter.dispatch('text_array')(elements)) }}
{%- endmacro %}

{% macro default__text_array(elements) -%}
    cast(array({{ elements | join(', ') }}) as array<string>)
{%- endmacro %}

{% macro duckdb__text_array(elements) -%}
    cast([{{ elements | join(', ') }}] as varchar [])
{%- endmacro %}
