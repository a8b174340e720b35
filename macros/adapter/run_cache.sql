{% macro run_cache() -%}
    {#- What a run of dbt has found out and need not ask again: most of what a small query
        costs is dbt's own work. The graph is the one thing that all nodes share. -#}
    {{ return(graph.setdefault(invocation_id, {})) }}
{%- endmacro %}

{% macro cached_query(question) -%}
    {#- The rows of a query whose answer no node of this run changes. -#}
    {%- set answers = run_cache().setdefault('answers', {}) -%}
    {%- if question not in answers -%}
        {%- do answers.update({question: run_query(question).rows}) -%}
    {%- endif -%}
    {{ return(answers[question]) }}
{%- endmacro %}

{% macro uncache_relation(relation) -%}
    {#- What was known of a relation no longer holds: it has been made anew. -#}
    {%- for known in ['view definitions', 'comments'] -%}
        {%- do run_cache().get(known, {}).pop(relation.render(), none) -%}
    {%- endfor -%}
{%- endmacro %}
