{# A table in the lake, and in the same transaction what the registry holds of it. Where
   the feed will look for single groups, rows that are alike lie together. #}
{% macro duckdb__get_create_materialized_view_as_sql(relation, sql) -%}
    {%- set traced = materialized_view_query(sql) -%}
    {%- do run_query(create_materialized_view_registry()) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set changes = lake_changes(0) -%}
    {%- set held = load_cached_relation(relation) -%}
    {%- if held is not none -%}
        {%- do run_query(get_drop_sql(held)) -%}
        {%- do forget_relation(held) -%}
    {%- endif -%}
    {%- do run_query(create_table_as(
        false, relation, sql,
        partitioned_by=duckdb__get_partitioned_by(relation, false),
        sorted_by=duckdb__get_sorted_by(relation, false)
            or (traced.query['keys'] | first if config.get('additive'))
    )) -%}
    {%- set seconds = (modules.datetime.datetime.now() - started).total_seconds() -%}
    {%- set state = {
        'definition': sql,
        'columns': materialized_view_columns(),
        'is_additive': config.get('additive', false),
    } -%}
    {%- set choice = {'method': 'created', 'reason': 'it was not there'} -%}
    {{ return(record_refresh(relation, state, traced, changes, choice, seconds)) }}
{%- endmacro %}
