{% macro base_row_counts(bases, since) -%}
    {#- What the catalogue says of the rows of a view's tables: how many there are, how
        many were added or deleted since the last refresh, and how many lie in files that
        have lost rows and are read again for the feed. -#}
    {%- set files = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
    {%- set counts = {} -%}
    {%- for base in bases if base.id is not none -%}
        {%- set row = run_query(
            'select coalesce(sum(record_count) filter (end_snapshot is null), 0),'
            ~ ' coalesce(sum(record_count) filter (begin_snapshot > ' ~ since
            ~ ' or end_snapshot > ' ~ since ~ '), 0) from ' ~ files
            ~ 'data_file where table_id = ' ~ base.id
        ).rows[0] -%}
        {%- set lost = run_query(
            'select coalesce(sum(d.delete_count), 0), coalesce(sum(f.record_count), 0)'
            ~ ' from ' ~ files ~ 'delete_file as d inner join ' ~ files
            ~ 'data_file as f on d.data_file_id = f.data_file_id where d.table_id = '
            ~ base.id ~ ' and greatest(d.begin_snapshot, d.partial_max) > ' ~ since
        ).rows[0] -%}
        {%- do counts.update({base.name: {
            'live': row[0] | int,
            'changed': (row[1] + lost[0]) | int,
            'read_again': lost[1] | int,
        }}) -%}
    {%- endfor -%}
    {{ return(counts) }}
{%- endmacro %}
