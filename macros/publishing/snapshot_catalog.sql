{% macro snapshot_catalog(path, tables) -%}
    {#- Writes a catalogue that has these tables as of the lake's latest snapshot,
        without history and without other tables. DuckLake creates the empty catalogue,
        and the rows are copied from the catalogue of the lake. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set snapshot = run_query(
        "select id from ducklake_current_snapshot('" ~ target.database ~ "')"
    ).columns[0][0] -%}
    {%- set is_live = 'begin_snapshot <= ' ~ snapshot
        ~ ' and (end_snapshot is null or end_snapshot > ' ~ snapshot ~ ')' -%}
    {%- set ids = relation_ids(tables) | join(', ') -%}
    {%- set conditions = {
        'begin_snapshot': 'begin_snapshot <= ' ~ snapshot,
        'end_snapshot': is_live,
        'snapshot_id': 'snapshot_id = ' ~ snapshot,
        'table_id': 'coalesce(table_id in (' ~ ids ~ '), true)',
        'view_id': 'view_id in (' ~ ids ~ ')',
        'object_id': 'object_id in (' ~ ids ~ ')',
        'data_file_id': 'data_file_id in (select data_file_id from ' ~ lake
            ~ 'data_file where ' ~ is_live ~ ')',
        'schema_name': "schema_name in ('main', '"
            ~ tables | map('first') | unique | join("', '") ~ "')",
    } -%}
    {%- do run_query(
        "attach 'ducklake:" ~ path ~ "' as snapshot; detach snapshot; attach '" ~ path
        ~ "' as snapshot"
    ) -%}
    {%- set statements = [] -%}
    {%- for table, columns in run_query(
        'select table_name, list(column_name) from duckdb_columns()'
        ~ " where database_name = 'snapshot' group by table_name order by table_name"
    ).rows -%}
        {%- set kept = ['true'] -%}
        {%- for column, condition in conditions.items() if column in columns -%}
            {%- do kept.append(condition) -%}
        {%- endfor -%}
        {%- do statements.append(
            'delete from snapshot.' ~ table ~ '; insert into snapshot.' ~ table
            ~ ' by name select * from ' ~ lake ~ table.removeprefix('ducklake_')
            ~ ' where ' ~ kept | join(' and ')
        ) -%}
    {%- endfor -%}
    {%- do run_query(
        'begin; ' ~ statements | join('; ') ~ '; commit; detach snapshot'
    ) -%}
{%- endmacro %}

{% macro attach_snapshot(folder) -%}
    {#- Attaches the catalogue of a publication as `published`. The path of the lake's
        files is set first, because the lakehouse may have been moved since. -#}
    {%- set catalogue = folder ~ '/deftunes.ducklake' -%}
    {%- do run_query(
        "attach '" ~ catalogue ~ "' as snapshot; update snapshot.ducklake_metadata"
        ~ " set value = '" ~ data_path() ~ "' where key = 'data_path'; detach snapshot;"
        ~ " attach 'ducklake:" ~ catalogue ~ "' as published (read_only)"
    ) -%}
{%- endmacro %}
