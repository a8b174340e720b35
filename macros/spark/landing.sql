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
    {%- set source = graph.sources.values()
        | selectattr('name', 'equalto', entity) | first -%}
    {%- set rows = _spooled(
        'landed_batches_of_' ~ entity,
        'select distinct _batch_id from binaryFile.`' ~ _landed_folder(source) ~ '`'
    ) -%}
    select _batch_id from {{ rows }}
{%- endmacro %}

{% macro _landed_folder(source) -%}
    {#- The folder with the batches of a source, from meta.external_location. -#}
    {{ modules.re.search(
        "'([^']+?)/[*]", source.config.meta.external_location
    ).group(1) | replace('{name}', source.name) }}
{%- endmacro %}

{# A view with the tag `cached` is written to temporary files, and so is each one of which
   all rows are read: Spark takes ten seconds to plan a query over views of views. Any
   other view becomes a subquery over the cached views that it reads. #}
{% macro spark__cached_view(view, node, batches, reads_all) -%}
    {%- set batches = none if reads_all else batches -%}
    {%- set query = namespace(sql=cached_query(
        'show create table ' ~ view
    )[0][0].partition('\nAS\n')[2]) -%}
    {%- for id in node.depends_on.nodes
        if graph.nodes.get(id, {}).get('config', {}).materialized == 'view' -%}
        {%- set upstream = api.Relation.create(
            schema=graph.nodes[id].schema, identifier=graph.nodes[id].name
        ) -%}
        {%- set query.sql = query.sql | replace(
            upstream.render(), cached_view(upstream, reads_all) | string
        ) -%}
    {%- endfor -%}
    {%- if 'cached' not in node.tags and not reads_all -%}
        {{ return('(' ~ query.sql ~ ')') }}
    {%- endif -%}
    {{ return(_spooled(
        view.identifier ~ ('' if batches is none else '_of_new_batches'),
        query.sql if batches is none else
            'select * from (' ~ query.sql ~ ') where ' ~ in_list('_batch_id', batches)
    )) }}
{%- endmacro %}

{% macro _spooled(name, sql) -%}
    {#- The Parquet files with the rows of a query, written once in an invocation. Spark's
        own cache would not recognise the query of a view of Iceberg. -#}
    {%- set files = 'parquet.`' ~ _spool() ~ '/' ~ name ~ '`' -%}
    {%- set spooled = run_cache().setdefault('spooled', []) -%}
    {%- if name not in spooled -%}
        {%- do write_parquet(_spool() ~ '/' ~ name, sql) -%}
        {%- do spooled.append(name) -%}
    {%- endif -%}
    {{ return(files) }}
{%- endmacro %}

{% macro _spool() -%}
    {#- The folder for temporary files of this command. -#}
    {{ return(cached_query('set spark.sql.warehouse.dir')[0][1] ~ '/spool') }}
{%- endmacro %}

{# scripts/spark/dbt_lock.py deletes the files at the end of the command. #}
{% macro spark__clear_spool() -%}{%- endmacro %}
