{% macro apply_changes(relation, state, traced, moved, changes) -%}
    {#- Brings an additive view up to date by what has changed in its tables. Returns
        why that is not possible; none when it is done. -#}
    {%- set query = traced.query -%}
    {%- set feeds = {} -%}
    {%- set copies = [] -%}
    {%- for name in moved.names -%}
        {%- set rows = ['gained_' ~ loop.index, 'lost_' ~ loop.index] -%}
        {%- set counts = read_changes(name, query.columns, state, changes, rows) -%}
        {%- set files = [] -%}
        {%- for table in rows -%}
            {%- do files.append(spool_file(table) if counts[loop.index0] else none) -%}
            {%- if counts[loop.index0] -%}
                {%- do copies.append('copy ' ~ table ~ " to '" ~ files[-1] ~ "'") -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do feeds.update({name: files}) -%}
    {%- endfor -%}
    {#- DuckDB counts the distinct values of its own tables and takes their joins for
        larger than they are; it joins with a file of few rows first. -#}
    {%- if copies -%}{%- do run_query(copies | join('; ')) -%}{%- endif -%}
    {%- set terms = [] -%}
    {%- for term in delta_terms(traced.sql, feeds, state.snapshot_id)
        if not term.guard or run_query(term.guard).rows -%}
        {%- do terms.append(term.query) -%}
    {%- endfor -%}
    {%- do changed_groups(
        relation, query, terms | join(' union all ')
        or 'select *, 1 as _sign from (' ~ traced.sql ~ ') as term where false'
    ) -%}
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
