{# For a common table expression that is read more than once and may be larger than the
   memory: DuckDB would keep all of it, and on the disk what does not fit. #}
{% macro not_materialized() -%}
    {{ return(adapter.dispatch('not_materialized')()) }}
{%- endmacro %}

{% macro default__not_materialized() -%}{%- endmacro %}

{% macro duckdb__not_materialized() -%}
    not materialized
{%- endmacro %}
