{% macro memory() -%}
    {#- What a run of dbt has found out and need not ask again: most of what a small query
        costs is dbt's own work. The graph is the one thing that all nodes share. -#}
    {{ return(graph.setdefault(invocation_id, {})) }}
{%- endmacro %}
