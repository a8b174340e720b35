{% macro ducklake_catalog() -%}
    {#- The prefix of the tables of DuckLake's catalogue. -#}
    {{ return('__ducklake_metadata_' ~ target.database ~ '.ducklake_') }}
{%- endmacro %}

{% macro relation_ids(models) -%}
    {#- The ids of these models in the lake's catalogue. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set names = [] -%}
    {%- for schema, name in models -%}
        {%- do names.append("('" ~ schema ~ "', '" ~ name ~ "')") -%}
    {%- endfor -%}
    {{ return(run_query(
        'select relation.id from (select table_id as id, schema_id, table_name as name,'
        ~ ' end_snapshot from ' ~ lake ~ 'table union all select view_id, schema_id,'
        ~ ' view_name, end_snapshot from ' ~ lake ~ 'view) as relation inner join '
        ~ lake ~ 'schema using (schema_id) where relation.end_snapshot is null and'
        ~ ' (schema_name, name) in (' ~ names | join(', ') ~ ')'
    ).columns[0].values()) }}
{%- endmacro %}

{% macro base_row_counts(base_tables, since) -%}
    {#- Row counts of a view's tables by the lake's catalogue. `live`: rows now.
        `changed`: rows added or deleted since a snapshot. `read_again`: rows in files
        with deleted rows, which the change feed has to read. -#}
    {%- set files = ducklake_catalog() -%}
    {%- set names = {} -%}
    {%- for table in base_tables if table.id is not none -%}
        {%- do names.update({table.id | int: table.name}) -%}
    {%- endfor -%}
    {%- set counts = {} -%}
    {%- for row in run_query(
        'with rewritten as (select snapshot_id from ' ~ files ~ 'snapshot_changes'
        ~ ' where snapshot_id > ' ~ since ~ " and contains(changes_made, 'rewrite_delete')"
        ~ '), files as (select table_id, record_count, end_snapshot is null as is_live,'
        ~ ' begin_snapshot > ' ~ since ~ ' and begin_snapshot not in (from rewritten)'
        ~ ' or end_snapshot > ' ~ since ~ ' and end_snapshot not in (from rewritten)'
        ~ ' as is_changed from ' ~ files ~ 'data_file), added as (select table_id,'
        ~ ' sum(record_count) filter (is_live) as live, sum(record_count)'
        ~ ' filter (is_changed) as changed from files group by table_id), deletes as'
        ~ ' (select d.table_id,'
        ~ ' sum(d.delete_count) as deleted, sum(f.record_count) as read_again from '
        ~ files ~ 'delete_file as d inner join ' ~ files ~ 'data_file as f'
        ~ ' on d.data_file_id = f.data_file_id where greatest(d.begin_snapshot,'
        ~ ' d.partial_max) > ' ~ since ~ ' group by d.table_id)'
        ~ ' select base.table_id, coalesce(live, 0), coalesce(changed, 0)'
        ~ ' + coalesce(deleted, 0), coalesce(read_again, 0)'
        ~ ' from (select unnest([' ~ names | join(', ') ~ ']) as table_id) as base'
        ~ ' left join added using (table_id) left join deletes using (table_id)'
    ).rows -%}
        {%- do counts.update({names[row[0] | int]: {
            'live': row[1] | int,
            'changed': row[2] | int,
            'read_again': row[3] | int,
        }}) -%}
    {%- endfor -%}
    {{ return(counts) }}
{%- endmacro %}

{% macro lake_tables() -%}
    {#- The tables of the lake: all columns, the text columns, and whether a node of
        this project builds the table. -#}
    {%- set built = ['operations.materialized_views', 'operations.imported_tables'] -%}
    {%- for node in graph.nodes.values() if node.relation_name -%}
        {%- do built.append((node.schema ~ '.' ~ node.alias) | lower) -%}
    {%- endfor -%}
    {%- set tables = [] -%}
    {%- for schema, name, columns, text_columns in run_query(
        'select schema_name, table_name, string_agg(column_name, chr(10)),'
        ~ ' string_agg(column_name, chr(10)) filter ('
        ~ "data_type in ('VARCHAR', 'UUID')) from duckdb_columns()"
        ~ ' semi join duckdb_tables() using (database_name, schema_name, table_name)'
        ~ " where database_name = '" ~ target.database ~ "' group by all order by all"
    ).rows -%}
        {%- do tables.append({
            'schema_and_name': (schema, name),
            'name': target.database ~ '.' ~ adapter.quote(schema) ~ '.'
                ~ adapter.quote(name),
            'columns': columns.split('\n'),
            'text_columns': text_columns.split('\n') if text_columns else [],
            'is_built': (schema ~ '.' ~ name) | lower in built,
        }) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}
