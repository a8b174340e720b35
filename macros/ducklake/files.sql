{% macro rewrite_files(schema=none, table=none) -%}
    {#- Rewrites the files that have deleted rows, without those rows; of one table or
        of all. Returns DuckLake's result. -#}
    {%- set one = ", '" ~ table ~ "', schema => '" ~ schema ~ "'" if table else '' -%}
    {%- set result = run_query(
        "from ducklake_rewrite_data_files('" ~ target.database ~ "'" ~ one
        ~ ', delete_threshold => 0)'
    ) -%}
    {%- do restore_column_statistics() -%}
    {{ return(result) }}
{%- endmacro %}

{% macro rewrite_files_with_deletes() -%}
    {#- Rewrites the files of each table that has more than twelve delete files. Deleted
        rows stay in the data files, and each change adds delete files beside them.
        Files are rewritten and not merged, because the change feed omits deletions
        across a merge. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- for row in run_query(
        'select schema_name, table_name, count(*) from ' ~ lake
        ~ 'delete_file as deletes inner join ' ~ lake
        ~ 'table as tables using (table_id) inner join ' ~ lake
        ~ 'schema as schemas using (schema_id) where deletes.end_snapshot is null'
        ~ ' and tables.end_snapshot is null and schemas.end_snapshot is null'
        ~ ' group by all having count(*) > 12'
    ).rows -%}
        {%- do rewrite_files(row[0], row[1]) -%}
        {%- do log(
            row[0] ~ '.' ~ row[1] ~ ': rewrote ' ~ row[2] ~ ' files with deleted rows'
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro set_parquet_compression() -%}
    {#- New files of the lake are compressed with zstd: a third smaller than with
        DuckLake's default. A higher level takes a fifth longer and saves hardly
        anything. The option is stored in the lake, so it is set once. -#}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- set existing = run_query(
        'select option_name from ducklake_options(' ~ lake ~ ')'
    ).columns[0].values() -%}
    {%- for option, value in [
        ('parquet_compression', 'zstd'),
        ('parquet_compression_level', '2'),
    ] if option not in existing -%}
        {%- do run_query(
            'call ducklake_set_option(' ~ lake ~ ", '" ~ option ~ "', '" ~ value ~ "')"
        ) -%}
    {%- endfor -%}
{%- endmacro %}
