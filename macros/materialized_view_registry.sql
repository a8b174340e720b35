{% macro materialized_view_registry() -%}
    {#- The table with what was done to each materialized view; none in a lake that has
        no materialized view yet. -#}
    {%- set registry = api.Relation.create(
        database=target.database, schema='operations', identifier='materialized_views',
        type='table'
    ) -%}
    {%- set memory = memory() -%}
    {%- if memory.get('has registry') or run_query(
        "select 1 from system.information_schema.tables where table_catalog = '"
        ~ registry.database ~ "' and table_schema = '" ~ registry.schema
        ~ "' and table_name = '" ~ registry.identifier ~ "'"
    ).rows | length -%}
        {%- do memory.update({'has registry': true}) -%}
        {{ return(registry) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}
