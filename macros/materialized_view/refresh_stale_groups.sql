{% macro refresh_stale_groups(relation, state, resolved, table_changes, changes) -%}
    {#- Recomputes the groups of a view for which rows of a table changed, or that meet
        refresh_groups_when. Returns why that is not possible, or none if it is
        done. -#}
    {%- set key = state.group_key -%}
    {%- set ids = run_query(
        'select table_id from ' ~ ducklake_catalog()
        ~ "column where end_snapshot is null and column_name = '" ~ key ~ "'"
    ).columns[0].values() | map('int') | list -%}
    {%- set tables_with_key = resolved.base_tables | selectattr('id', 'in', ids)
        | map(attribute='name') | list -%}
    {%- set groups = [] -%}
    {%- for name in table_changes.names -%}
        {%- if name in tables_with_key -%}
            {%- set rows = ['inserted_' ~ loop.index, 'deleted_' ~ loop.index] -%}
            {%- do materialize_change_feed(
                name, resolved.query.columns, changes, rows
            ) -%}
            {%- do groups.extend(rows) -%}
        {%- elif not state.refresh_groups_when -%}
            {{ return(
                name ~ ' changed and has no ' ~ key ~ ', and the view has no'
                ~ ' refresh_groups_when'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- if state.refresh_groups_when -%}
        {%- set condition = render(state.refresh_groups_when) -%}
        {%- do groups.append(relation ~ ' where ' ~ condition) -%}
    {%- endif -%}
    {%- set in_stale_groups = key ~ ' in (select ' ~ key ~ ' from stale_groups)' -%}
    {%- if run_query(
        'create or replace temporary table stale_groups as select ' ~ key ~ ' from '
        ~ groups | join(' union select ' ~ key ~ ' from ') ~ '; select 1 from stale_groups'
        ~ ' where ' ~ key ~ ' is null'
    ).rows -%}
        {{ return('a row without a ' ~ key ~ ' changed') }}
    {%- endif -%}
    {%- set query = namespace(sql=resolved.sql) -%}
    {%- for name in tables_with_key -%}
        {%- set query.sql = inline_view(
            query.sql, name, 'select * from ' ~ name ~ ' where ' ~ in_stale_groups
        ) -%}
    {%- endfor -%}
    {%- do recompute(relation, query.sql, 'where ' ~ in_stale_groups) -%}
    {{ return(none) }}
{%- endmacro %}
