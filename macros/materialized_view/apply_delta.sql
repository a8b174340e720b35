{% macro apply_delta(relation, state, traced, moved, changes) -%}
    {#- Brings an additive view up to date by what has changed in its tables. Returns
        why that is not possible; none when it is done. -#}
    {%- set query = traced.query -%}
    {%- set feeds, copies = {}, [] -%}
    {%- for name in moved.names -%}
        {%- set rows = ['gained_' ~ loop.index, 'lost_' ~ loop.index] -%}
        {%- set counts = materialize_change_feed(
            name, query.columns, state, changes, rows
        ) -%}
        {%- set files = [] -%}
        {%- for table in rows -%}
            {%- do files.append(temporary_file(table) if counts[loop.index0] else none) -%}
            {%- if counts[loop.index0] -%}
                {%- do copies.append('copy ' ~ table ~ " to '" ~ files[-1] ~ "'") -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do feeds.update({name: files}) -%}
    {%- endfor -%}
    {#- DuckDB takes joins of its own tables for large; a file of few rows comes first. -#}
    {%- if copies -%}{%- do run_query(copies | join('; ')) -%}{%- endif -%}
    {%- set terms = [] -%}
    {%- for term in delta_queries(traced.sql, feeds, state.snapshot_id)
        if not term.guard or run_query(term.guard).rows -%}
        {%- do terms.append(term.query) -%}
    {%- endfor -%}
    {%- do _delta_aggregates(
        relation, query, terms | join(' union all ')
        or 'select *, 1 as _sign from (' ~ traced.sql ~ ') as term where false'
    ) -%}
    {%- set nullable = nullable_aggregates(query) -%}
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

{% macro _delta_aggregates(relation, query, delta) -%}
    {#- Works out which groups change, with their new counts and sums, and the place of
        the row that holds the old ones. -#}
    {%- set keys = query['keys'] -%}
    {%- set sums = query.sums | list -%}
    {%- call statement() -%}
        create or replace temporary table delta as
        select
            {{ keys | join(', ') }},
            {%- for name in sums %}
            sum(case when _sign > 0 then {{ name }} else -{{ name }} end) as {{ name }},
            bool_or(_sign < 0 and {{ name }} is not null) as _has_lost_{{ name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        from ({{ delta }}) as terms
        group by {{ keys | join(', ') }}
    {%- endcall -%}
    {%- call statement() -%}
        create or replace temporary table changed_groups as
        select
            {%- for name in keys %}
            delta.{{ name }},
            {%- endfor %}
            {%- for name in sums %}
            coalesce(held.{{ name }} + delta.{{ name }}, held.{{ name }}, delta.{{ name }})
                as {{ name }},
            delta._has_lost_{{ name }},
            {%- endfor %}
            held.rowid as _held_rowid
        from delta
        left join {{ relation }} as held
            on {{ null_safe_join_condition(keys, 'delta', 'held') }}
        where
            {%- for name in sums %}
            coalesce(held.{{ name }} + delta.{{ name }}, held.{{ name }}, delta.{{ name }})
            is distinct from held.{{ name }}
            {%- if not loop.last %} or{% endif %}
            {%- endfor %}
    {%- endcall -%}
{%- endmacro %}

{% macro delta_queries(sql, feeds, snapshot_id) -%}
    {#- The terms that changes of tables add to the result of an additive query, each with
        its query, and with a guard or none: without rows of the guard the query has none. -#}
    {{ return(fromjson(run_query(
        "select delta_queries('" ~ sql | replace("'", "''") ~ "', '"
        ~ tojson(feeds) | replace("'", "''") ~ "', " ~ snapshot_id ~ ')'
    ).columns[0][0])) }}
{%- endmacro %}

{% macro nullable_aggregates(query) -%}
    {#- The sums that may be null for a group with rows: all but those of a column that
        is not null in each table of the query that has one of this name. The catalogue's
        own tables say it at once; duckdb_columns() reads all of it after each commit. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set names = [] -%}
    {%- for name, column in query.sums.items() if column is not none -%}
        {%- set found = run_query(
            "select coalesce(bool_or(cast(nulls_allowed as boolean)), true) from " ~ lake
            ~ "column as held inner join " ~ lake ~ "table as place using (table_id)"
            ~ " inner join " ~ lake ~ "schema as schemas using (schema_id)"
            ~ " where held.end_snapshot is null and place.end_snapshot is null"
            ~ " and lower(concat_ws('.', '" ~ target.database ~ "', schema_name,"
            ~ " table_name)) in ('" ~ query.relations | join("', '")
            ~ "') and column_name = '" ~ column ~ "'"
        ).columns[0][0] -%}
        {%- if found -%}{%- do names.append(name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}
