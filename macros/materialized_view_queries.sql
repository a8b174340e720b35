{% macro materialized_view_queries() -%}
    {#- The materialized views of the lake, each with its relation and its query. -#}
    {%- set views = [] -%}
    {%- set registry = materialized_view_registry() if execute else none -%}
    {%- for row in (run_query(
        'select schema_name, view_name, definition from ' ~ registry
    ).rows if registry is not none else []) -%}
        {%- do views.append({
            'name': row[1],
            'relation': target.database ~ '.' ~ row[0] ~ '.' ~ row[1],
            'query': row[2],
        }) -%}
    {%- endfor -%}
    {{ return(views) }}
{%- endmacro %}
