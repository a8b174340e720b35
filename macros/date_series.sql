{% macro date_series(first, last) -%}
    {{ return(adapter.dispatch('date_series')(first, last)) }}
{%- endmacro %}

{% macro default__date_series(first, last) -%}
    explode(sequence(cast({{ first }} as date), cast({{ last }} as date)))
{%- endmacro %}

{% macro duckdb__date_series(first, last) -%}
    cast(unnest(generate_series({{ first }}, {{ last }}, interval 1 day)) as date)
{%- endmacro %}
