{% macro create_materialized_view_registry() -%}
    create schema if not exists {{ target.database }}.operations;
    create table if not exists {{ target.database }}.operations.materialized_views (
        schema_name varchar,
        view_name varchar,
        definition varchar,
        columns varchar,
        is_additive boolean,
        base_tables struct(name varchar, id bigint, is_linear boolean)[],
        snapshot_id bigint,
        refreshed_at timestamp,
        method varchar,
        reason varchar,
        seconds double,
        recompute_seconds double,
        feed_pace double,
        base_row_count bigint,
        row_count bigint
    );
{%- endmacro %}
