{# The adapter's own, knowing materialized views: tables that the registry names. #}
{% macro duckdb__list_relations_without_caching(schema_relation) -%}
    {%- set registry = materialized_view_registry() -%}
    {{ return(run_query(
        "select table_catalog as database, table_name as name, table_schema as schema,"
        ~ " case when " ~ ("false" if registry is none else
            "(table_schema, table_name) in (select (schema_name, view_name) from "
            ~ registry ~ ")")
        ~ " then 'materialized_view' when table_type = 'VIEW' then 'view' else 'table'"
        ~ " end as type from system.information_schema.tables where"
        ~ " lower(table_schema) = '" ~ schema_relation.schema | lower
        ~ "' and lower(table_catalog) = '" ~ schema_relation.database | lower ~ "'"
    )) }}
{%- endmacro %}
