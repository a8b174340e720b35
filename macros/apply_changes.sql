{% macro apply_changes(relation, state, traced, moved, changes) -%}
    {#- Brings an additive view up to date by what has changed in its tables. Returns
        why that is not possible; none when it is done. -#}
    {%- set query = traced.query -%}
    {%- set feeds = {} -%}
    {%- for name in moved.names -%}
        {%- set rows = ['gained_' ~ loop.index, 'lost_' ~ loop.index] -%}
        {%- do read_changes(name, query.columns, state, changes, rows) -%}
        {%- do feeds.update({name: rows}) -%}
    {%- endfor -%}
    {%- set delta = run_query(
        "select delta_query('" ~ traced.sql | replace("'", "''") ~ "', '"
        ~ tojson(feeds) ~ "', " ~ state.snapshot_id ~ ")"
    ).columns[0][0] -%}
    {%- do changed_groups(relation, query, delta) -%}
    {%- set nullable = nullable_sums(query) -%}
    {%- if run_query(
        'select 1 from changed_groups where ' ~ query.row_count ~ ' < 0'
        ~ ' or ' ~ query.row_count ~ ' = 0 and (' ~ query.sums | join(' <> 0 or ')
        ~ ' <> 0)'
    ).rows -%}
        {{ return('a group of it has lost more rows than it had') }}
    {%- endif -%}
    {%- for name in nullable -%}
        {%- if run_query(
            'select 1 from changed_groups where ' ~ query.row_count ~ ' > 0 and '
            ~ name ~ ' = 0 and _has_lost_' ~ name ~ ' limit 1'
        ).rows -%}
            {{ return('a sum of ' ~ name ~ ' may be left without values') }}
        {%- endif -%}
    {%- endfor -%}
    {%- do run_query(
        'delete from ' ~ relation ~ ' where rowid in (select _held_rowid from'
        ~ ' changed_groups where _held_rowid is not null)'
    ) -%}
    {%- set columns = query['keys'] + query.sums | list + query.derived | list -%}
    {%- set expressions = query['keys'] + query.sums | list
        + query.derived.values() | list -%}
    {%- do run_query(
        'insert into ' ~ relation ~ ' (' ~ columns | join(', ') ~ ') select '
        ~ expressions | join(', ') ~ ' from changed_groups where '
        ~ query.row_count ~ ' > 0'
    ) -%}
    {{ return(none) }}
{%- endmacro %}
