{% macro run_cache() -%}
    {#- A cache for this invocation of dbt: most of the time of a small query is dbt's
        own work. It lives in `graph`, because nodes share nothing else. -#}
    {{ return(graph.setdefault(invocation_id, {})) }}
{%- endmacro %}

{% macro cached_query(sql) -%}
    {#- The rows of a query, run once per invocation. Only for queries whose result no
        node of the invocation changes. -#}
    {%- set results = run_cache().setdefault('query results', {}) -%}
    {%- if sql not in results -%}
        {%- do results.update({sql: run_query(sql).rows}) -%}
    {%- endif -%}
    {{ return(results[sql]) }}
{%- endmacro %}

{% macro uncache_relation(relation) -%}
    {#- Forgets what the cache holds of a relation, because the relation is
        replaced. -#}
    {%- for entry in ['view definitions', 'comments'] -%}
        {%- do run_cache().get(entry, {}).pop(relation.render(), none) -%}
    {%- endfor -%}
{%- endmacro %}
