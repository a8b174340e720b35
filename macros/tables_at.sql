{% macro tables_at(snapshot_id, models) -%}
    {%- set lake = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
    {%- set tables = [] -%}
    {%- for row in run_query(
        'select schema_name, table_name, table_id from ' ~ lake
        ~ 'table as known inner join ' ~ lake ~ 'schema using (schema_id)'
        ~ ' where known.begin_snapshot <= ' ~ snapshot_id
        ~ ' and coalesce(known.end_snapshot > ' ~ snapshot_id ~ ', true) order by all'
    ).rows if (row[0], row[1]) in models -%}
        {%- do tables.append({
            'name': target.database ~ '.' ~ row[0] ~ '.' ~ row[1],
            'id': row[2] | int,
            'is_linear': true,
        }) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}
