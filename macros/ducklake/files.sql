{% macro rewrite_files(schema=none, table=none) -%}
    {#- Writes files that have lost rows anew, without those; returns what DuckLake says. -#}
    {%- set one = ", '" ~ table ~ "', schema => '" ~ schema ~ "'" if table else '' -%}
    {%- set done = run_query(
        "from ducklake_rewrite_data_files('" ~ target.database ~ "'" ~ one
        ~ ', delete_threshold => 0)'
    ) -%}
    {%- do restore_column_statistics() -%}
    {{ return(done) }}
{%- endmacro %}

{% macro rewrite_files_with_deletes() -%}
    {#- Rows that a table loses stay in its files, and each file that loses some gets
        another beside it, at every change: of a table with a dozen such files, one more
        each day, those become one file without them. Files are not merged, as the feed
        does not tell truly what was deleted across that. -#}
    {%- set lake = ducklake_catalog() -%}
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

{% macro set_parquet_compression() -%}
    {#- Has new files of the lake written with zstd: a third smaller than with DuckLake's
        own choice. More effort takes a fifth longer and makes them hardly smaller. The
        lake remembers it. -#}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- set held = run_query(
        'select option_name from ducklake_options(' ~ lake ~ ')'
    ).columns[0].values() -%}
    {%- for option, value in [
        ('parquet_compression', 'zstd'),
        ('parquet_compression_level', '2'),
    ] if option not in held -%}
        {%- do run_query(
            'call ducklake_set_option(' ~ lake ~ ", '" ~ option ~ "', '" ~ value ~ "')"
        ) -%}
    {%- endfor -%}
{%- endmacro %}
