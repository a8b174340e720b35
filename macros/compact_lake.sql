{% macro compact_lake() -%}
    {#- Rows that a table loses stay in its files, and each file that loses some gets
        another beside it, at every change: of a table with a dozen such files, one more
        each day, those become one file without them. Files are not merged, as the feed
        does not tell truly what was deleted across that. -#}
    {%- set lake = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
    {%- for row in run_query(
        'select schema_name, table_name, count(*) from ' ~ lake ~ 'delete_file as lost'
        ~ ' inner join ' ~ lake ~ 'table as held using (table_id) inner join ' ~ lake
        ~ 'schema as place using (schema_id) where lost.end_snapshot is null'
        ~ ' and held.end_snapshot is null and place.end_snapshot is null'
        ~ ' group by all having count(*) > 12'
    ).rows -%}
        {%- do rewrite_files(row[0], row[1]) -%}
        {%- do log(
            row[0] ~ '.' ~ row[1] ~ ': ' ~ row[2] ~ ' files with lost rows are one'
        ) -%}
    {%- endfor -%}
{%- endmacro %}
