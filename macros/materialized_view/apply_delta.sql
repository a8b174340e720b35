{% macro apply_delta(relation, state, resolved, table_changes, changes) -%}
    {#- Refreshes an additive view incrementally, from the changed rows of its tables.
        Returns why that is not possible, or none if it is done. -#}
    {%- set query = resolved.query -%}
    {%- set feeds, copies = {}, [] -%}
    {%- for name in table_changes.names -%}
        {%- set rows = ['inserted_' ~ loop.index, 'deleted_' ~ loop.index] -%}
        {%- set counts = materialize_change_feed(name, query.columns, changes, rows) -%}
        {%- set files = [] -%}
        {%- for table in rows -%}
            {%- do files.append(temporary_file(table) if counts[loop.index0] else none) -%}
            {%- if counts[loop.index0] -%}
                {%- do copies.append('copy ' ~ table ~ " to '" ~ files[-1] ~ "'") -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do feeds.update({name: files}) -%}
    {%- endfor -%}
    {#- Files instead of temporary tables: DuckDB overestimates the size of joins with
        its own tables, but reads a small file first. -#}
    {%- if copies -%}{%- do run_query(copies | join('; ')) -%}{%- endif -%}
    {%- set queries = [] -%}
    {%- for delta in delta_queries(resolved.sql, feeds, state.snapshot_id)
        if not delta.guard or run_query(delta.guard).rows -%}
        {%- do queries.append(delta.query) -%}
    {%- endfor -%}
    {%- do _delta_aggregates(
        relation, query, queries | join(' union all ')
        or 'select *, 1 as _sign from (' ~ resolved.sql ~ ') as no_rows where false'
    ) -%}
    {%- if run_query(
        'select 1 from changed_groups where ' ~ query.row_count ~ ' < 0'
        ~ ' or ' ~ query.row_count ~ ' = 0 and (' ~ query.sums | join(' <> 0 or ')
        ~ ' <> 0)'
    ).rows -%}
        {{ return('more rows were deleted from a group than it had') }}
    {%- endif -%}
    {%- for name in nullable_aggregates(query) -%}
        {%- if run_query(
            'select 1 from changed_groups where ' ~ query.row_count ~ ' > 0 and '
            ~ name ~ ' = 0 and _has_deleted_' ~ name ~ ' limit 1'
        ).rows -%}
            {{ return('the sum ' ~ name ~ ' may be null for a group') }}
        {%- endif -%}
    {%- endfor -%}
    {%- do run_query(
        'delete from ' ~ relation ~ ' where rowid in (select _old_rowid from'
        ~ ' changed_groups where _old_rowid is not null)'
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
    {#- Creates the temporary table changed_groups: the groups that change, with their
        new counts and sums, and the rowid of the row with the old ones. -#}
    {%- set keys = query['keys'] -%}
    {%- set sums = query.sums | list -%}
    {%- call statement() -%}
        create or replace temporary table delta as
        select
            {{ keys | join(', ') }},
            {%- for name in sums %}
            sum(case when _sign > 0 then {{ name }} else -{{ name }} end) as {{ name }},
            bool_or(_sign < 0 and {{ name }} is not null) as _has_deleted_{{ name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        from ({{ delta }}) as signed_rows
        group by {{ keys | join(', ') }}
    {%- endcall -%}
    {%- call statement() -%}
        create or replace temporary table changed_groups as
        select
            {%- for name in keys %}
            delta.{{ name }},
            {%- endfor %}
            {%- for name in sums %}
            coalesce(old.{{ name }} + delta.{{ name }}, old.{{ name }}, delta.{{ name }})
                as {{ name }},
            delta._has_deleted_{{ name }},
            {%- endfor %}
            old.rowid as _old_rowid
        from delta
        left join {{ relation }} as old
            on {{ null_safe_join_condition(keys, 'delta', 'old') }}
        where
            {%- for name in sums %}
            coalesce(old.{{ name }} + delta.{{ name }}, old.{{ name }}, delta.{{ name }})
            is distinct from old.{{ name }}
            {%- if not loop.last %} or{% endif %}
            {%- endfor %}
    {%- endcall -%}
{%- endmacro %}

{% macro delta_queries(sql, feeds, snapshot_id) -%}
    {#- Queries whose rows, by their `_sign`, are added to or subtracted from the result
        of an additive query when tables change. Each may have a `guard`, a cheap query:
        if the guard returns no rows, neither does the query. -#}
    {{ return(fromjson(run_query(
        "select delta_queries('" ~ sql | replace("'", "''") ~ "', '"
        ~ tojson(feeds) | replace("'", "''") ~ "', " ~ snapshot_id ~ ')'
    ).columns[0][0])) }}
{%- endmacro %}

{% macro nullable_aggregates(query) -%}
    {#- The sums that may be null for a group with rows: all except sums of a column
        that is declared `not null` in each table of the query that has this column. The
        query reads the catalogue's tables, because duckdb_columns() reads the whole
        catalogue after each commit. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set names = [] -%}
    {%- for name, column in query.sums.items() if column is not none -%}
        {%- set is_nullable = run_query(
            "select coalesce(bool_or(cast(nulls_allowed as boolean)), true) from " ~ lake
            ~ "column as all_columns inner join " ~ lake
            ~ "table as tables using (table_id)"
            ~ " inner join " ~ lake ~ "schema as schemas using (schema_id)"
            ~ " where all_columns.end_snapshot is null and tables.end_snapshot is null"
            ~ " and lower(concat_ws('.', '" ~ target.database ~ "', schema_name,"
            ~ " table_name)) in ('" ~ query.relations | join("', '")
            ~ "') and column_name = '" ~ column ~ "'"
        ).columns[0][0] -%}
        {%- if is_nullable -%}{%- do names.append(name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}
