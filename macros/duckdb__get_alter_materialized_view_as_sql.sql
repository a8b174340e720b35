{# The table stays, and its rows that are the same, unless its columns change. #}
{% macro duckdb__get_alter_materialized_view_as_sql(
    relation, configuration_changes, sql, existing_relation, backup_relation,
    intermediate_relation
) -%}
    {%- set changed = configuration_changes.configuration
        | map(attribute='context') | list -%}
    {%- set held = adapter.get_columns_in_relation(existing_relation) -%}
    {%- set wanted = get_column_schema_from_query(sql) -%}
    {%- if 'columns' in changed or held | map(attribute='name') | list
        != wanted | map(attribute='name') | list or held | map(attribute='dtype') | list
        != wanted | map(attribute='dtype') | list -%}
        {{ return(get_replace_sql(existing_relation, relation, sql)) }}
    {%- endif -%}
    {%- set traced = materialized_view_query(sql) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set changes = lake_changes(0) -%}
    {%- do recompute(relation, sql) -%}
    {%- set seconds = (modules.datetime.datetime.now() - started).total_seconds() -%}
    {%- set state = {
        'definition': sql,
        'columns': materialized_view_columns(),
        'is_additive': config.get('additive', false),
    } -%}
    {%- set choice = {
        'method': 'recomputed',
        'reason': 'its ' ~ changed | join(' and ') ~ ' changed',
    } -%}
    {{ return(record_refresh(relation, state, traced, changes, choice, seconds)) }}
{%- endmacro %}
