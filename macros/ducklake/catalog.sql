{% macro ducklake_catalog() -%}
    {#- The prefix of the tables in which DuckLake keeps what it knows of the lake. -#}
    {{ return('__ducklake_metadata_' ~ target.database ~ '.ducklake_') }}
{%- endmacro %}

{% macro relation_ids(models) -%}
    {#- The ids that the lake's catalogue gives to these models. -#}
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

{% macro base_row_counts(bases, since) -%}
    {#- What the catalogue says of the rows of a view's tables: how many there are, how
        many were added or deleted since the last refresh, and how many lie in files that
        have lost rows and are read again for the feed. -#}
    {%- set files = ducklake_catalog() -%}
    {%- set names = {} -%}
    {%- for base in bases if base.id is not none -%}
        {%- do names.update({base.id | int: base.name}) -%}
    {%- endfor -%}
    {%- set counts = {} -%}
    {%- for row in run_query(
        'with rewritten as (select snapshot_id from ' ~ files ~ 'snapshot_changes'
        ~ ' where snapshot_id > ' ~ since ~ " and contains(changes_made, 'rewrite_delete')"
        ~ '), held as (select table_id, record_count, end_snapshot is null as is_live,'
        ~ ' begin_snapshot > ' ~ since ~ ' and begin_snapshot not in (from rewritten)'
        ~ ' or end_snapshot > ' ~ since ~ ' and end_snapshot not in (from rewritten)'
        ~ ' as is_changed from ' ~ files ~ 'data_file), added as (select table_id,'
        ~ ' sum(record_count) filter (is_live) as live, sum(record_count)'
        ~ ' filter (is_changed) as changed from held group by table_id), lost as (select'
        ~ ' d.table_id,'
        ~ ' sum(d.delete_count) as deleted, sum(f.record_count) as read_again from '
        ~ files ~ 'delete_file as d inner join ' ~ files ~ 'data_file as f'
        ~ ' on d.data_file_id = f.data_file_id where greatest(d.begin_snapshot,'
        ~ ' d.partial_max) > ' ~ since ~ ' group by d.table_id)'
        ~ ' select base.table_id, coalesce(live, 0), coalesce(changed, 0)'
        ~ ' + coalesce(deleted, 0), coalesce(read_again, 0)'
        ~ ' from (select unnest([' ~ names | join(', ') ~ ']) as table_id) as base'
        ~ ' left join added using (table_id) left join lost using (table_id)'
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
    {#- The tables of the lake, their columns, which of them are texts, and whether this
        project makes them. -#}
    {%- set made = ['operations.materialized_views'] -%}
    {%- for node in graph.nodes.values() if node.relation_name -%}
        {%- do made.append((node.schema ~ '.' ~ node.alias) | lower) -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- for schema, name, columns, texts in run_query(
        'select schema_name, table_name, string_agg(column_name, chr(10)),'
        ~ ' string_agg(column_name, chr(10)) filter ('
        ~ "data_type in ('VARCHAR', 'UUID')) from duckdb_columns()"
        ~ ' semi join duckdb_tables() using (database_name, schema_name, table_name)'
        ~ " where database_name = '" ~ target.database ~ "' group by all order by all"
    ).rows -%}
        {%- do found.append({
            'place': [schema, name],
            'name': target.database ~ '.' ~ adapter.quote(schema) ~ '.'
                ~ adapter.quote(name),
            'columns': columns.split('\n'),
            'texts': texts.split('\n') if texts else [],
            'is_made': (schema ~ '.' ~ name) | lower in made,
        }) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
