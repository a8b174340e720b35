{% macro refresh_stale_groups(relation, state, traced, moved, changes) -%}
    {#- Works out anew those groups of a view that gained or lost rows in its tables, or
        that stale_when finds. Returns why that is not possible; none when it is done. -#}
    {%- set key = state.group_key -%}
    {%- set ids = run_query(
        'select table_id from ' ~ ducklake_catalog()
        ~ "column where end_snapshot is null and column_name = '" ~ key ~ "'"
    ).columns[0].values() | map('int') | list -%}
    {%- set keyed = traced.bases | selectattr('id', 'in', ids) | map(attribute='name')
        | list -%}
    {%- set groups = [] -%}
    {%- for name in moved.names -%}
        {%- if name in keyed -%}
            {%- set rows = ['gained_' ~ loop.index, 'lost_' ~ loop.index] -%}
            {%- do materialize_change_feed(
                name, traced.query.columns, state, changes, rows
            ) -%}
            {%- do groups.extend(rows) -%}
        {%- elif not state.stale_when -%}
            {{ return(name ~ ' moved, which has no ' ~ key ~ ', and there is no stale_when') }}
        {%- endif -%}
    {%- endfor -%}
    {%- if state.stale_when -%}
        {%- do groups.append(relation ~ ' where ' ~ render(state.stale_when)) -%}
    {%- endif -%}
    {%- set of_groups = key ~ ' in (select ' ~ key ~ ' from stale_groups)' -%}
    {%- if run_query(
        'create or replace temporary table stale_groups as select ' ~ key ~ ' from '
        ~ groups | join(' union select ' ~ key ~ ' from ') ~ '; select 1 from stale_groups'
        ~ ' where ' ~ key ~ ' is null'
    ).rows -%}
        {{ return('a row without a ' ~ key ~ ' moved') }}
    {%- endif -%}
    {%- set query = namespace(sql=traced.sql) -%}
    {%- for name in keyed -%}
        {%- set query.sql = inline_view(
            query.sql, name, 'select * from ' ~ name ~ ' where ' ~ of_groups
        ) -%}
    {%- endfor -%}
    {%- do recompute(relation, query.sql, 'where ' ~ of_groups) -%}
    {{ return(none) }}
{%- endmacro %}
