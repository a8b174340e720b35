{% macro memory() -%}
    {#- What a run of dbt has found out and need not ask again: a query costs dbt ten
        times what it costs DuckDB. The graph is the one thing that all nodes share. -#}
    {{ return(graph.setdefault(invocation_id, {})) }}
{%- endmacro %}
