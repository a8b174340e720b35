{# A table of this session over the landed Parquet files. It is in Spark's own catalogue,
   because a table of Iceberg needs files that Iceberg wrote. #}
{% macro spark__landed_files(entity) -%}
    {%- set source = graph.sources.values()
        | selectattr('name', 'equalto', entity) | first -%}
    {%- set table = source.schema ~ '.' ~ entity -%}
    {%- set tables = run_cache().setdefault('landed tables', []) -%}
    {%- if table not in tables -%}
        {%- do run_query('create schema if not exists ' ~ source.schema) -%}
        {%- do run_query('drop table if exists ' ~ table) -%}
        {%- do run_query(
            'create table ' ~ table ~ " using parquet location '"
            ~ _landed_folder(source) ~ "'"
        ) -%}
        {%- do tables.append(table) -%}
    {%- endif -%}
    {{ return(table) }}
{%- endmacro %}

{# Reads the names of the folders and opens no file: an empty batch has no row that
   could tell of it. #}
{% macro spark__landed_batches(entity) -%}
    {%- set view = 'landed_batches_of_' ~ entity -%}
    {%- set views = run_cache().setdefault('landed batches', []) -%}
    {%- if view not in views -%}
        {%- set source = graph.sources.values()
            | selectattr('name', 'equalto', entity) | first -%}
        {%- do run_query('drop view if exists ' ~ view) -%}
        {%- do run_query(
            'cache table ' ~ view ~ ' as select distinct _batch_id from binaryFile.`'
            ~ _landed_folder(source) ~ '`'
        ) -%}
        {%- do views.append(view) -%}
    {%- endif -%}
    select _batch_id from {{ view }}
{%- endmacro %}

{% macro _landed_folder(source) -%}
    {#- The folder with the batches of a source, from meta.external_location. -#}
    {{ modules.re.search(
        "'([^']+?)/[*]", source.config.meta.external_location
    ).group(1) | replace('{name}', source.name) }}
{%- endmacro %}

{# Spark keeps the rows in memory, and on disk if memory is short. #}
{% macro spark__cached_view(view) -%}
    {%- if not execute or view.is_cte or flags.WHICH not in ['build', 'run', 'test'] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set batches = batches_to_read() -%}
    {%- if batches == [] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set name = view.identifier ~ '_' ~ local_md5(batches | string) -%}
    {%- set names = run_cache().setdefault('cached views', []) -%}
    {%- if name not in names -%}
        {%- do run_query(
            'cache table ' ~ name ~ ' as select * from ' ~ view
            ~ (' where ' ~ in_list('_batch_id', batches) if batches else '')
        ) -%}
        {%- do names.append(name) -%}
    {%- endif -%}
    {{ return(name) }}
{%- endmacro %}
