{# Overrides dbt-duckdb's: tables that are in the registry are materialized views. #}
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

{# Overrides dbt-duckdb's: a materialized view that is renamed becomes a plain table. #}
{% macro duckdb__rename_relation(from_relation, to_relation) -%}
    {%- do uncache_relation(from_relation) -%}
    {%- do uncache_relation(to_relation) -%}
    {%- set name = adapter.quote(to_relation.identifier) -%}
    {%- call statement('rename_relation') -%}
        {%- if from_relation.is_materialized_view -%}
            alter table {{ from_relation }} rename to {{ name }};
            {{ duckdb__drop_materialized_view(from_relation) }}
        {%- else -%}
            alter {{ to_relation.type }} {{ from_relation }} rename to {{ name }}
        {%- endif -%}
    {%- endcall -%}
{%- endmacro %}

{# Overrides dbt-duckdb's: DuckLake has no `cascade`, and a materialized view is a table
   there. #}
{% macro duckdb__drop_relation(relation) -%}
    {%- do uncache_relation(relation) -%}
    {%- call statement('drop_relation', auto_begin=false) -%}
        {{ get_drop_sql(relation) }}
    {%- endcall -%}
{%- endmacro %}

{# Drops the live variant, the table and the entry in the registry. #}
{% macro duckdb__drop_materialized_view(relation) -%}
    drop view if exists {{ relation.incorporate(
        path={'identifier': relation.identifier ~ '_live'}
    ) }};
    drop table if exists {{ relation }};
    delete from {{ materialized_views() }}
    where
        schema_name = '{{ relation.schema }}'
        and view_name = '{{ relation.identifier }}'
{%- endmacro %}

{# Overrides dbt's: drops only relations that exist, because each attempt is a
   commit. #}
{% macro materialized_view_teardown(
    backup_relation, intermediate_relation, post_hooks
) -%}
    {%- for relation in [backup_relation, intermediate_relation] -%}
        {%- do drop_relation_if_exists(load_cached_relation(relation)) -%}
    {%- endfor -%}
    {{ run_hooks(post_hooks, inside_transaction=false) }}
{%- endmacro %}
