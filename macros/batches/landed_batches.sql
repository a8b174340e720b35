{% macro landed_batches(entity) -%}
    {#- Nothing while dbt parses: `graph`, which knows the path of the files, is empty
        then. -#}
    {%- if execute -%}
        {{ return(adapter.dispatch('landed_batches')(entity)) }}
    {%- endif -%}
{%- endmacro %}

{# Reads the names of the folders and opens no file. #}
{% macro duckdb__landed_batches(entity) -%}
    {%- set files = modules.re.search("'([^']+)'", landed_files(entity)).group(1) -%}
    select distinct regexp_extract(file, '_batch_id=([^/]+)', 1) as _batch_id
    from glob('{{ files }}')
{%- endmacro %}

{% macro landed_files(entity) -%}
    {#- The relation of an entity's files, from meta.external_location of its
        source. -#}
    {{ return(adapter.dispatch('landed_files')(entity)) }}
{%- endmacro %}

{% macro duckdb__landed_files(entity) -%}
    {%- set source = graph.sources.values()
        | selectattr('name', 'equalto', entity) | first -%}
    {{ source.config.meta.external_location | replace('{name}', entity) }}
{%- endmacro %}

{% macro latest_batch(entity) -%}
    (select max(_batch_id) from ({{ landed_batches(entity) }}) as batches)
{%- endmacro %}

{% macro latest_fetch(entity) -%}
    {#- The latest batch is not enough: an extract is landed only if it differs from the
        one before, so an old batch may still be up to date. -#}
    {{ return(adapter.dispatch('latest_fetch')(entity)) }}
{%- endmacro %}

{% macro default__latest_fetch(entity) -%}
    select max(_ingested_at) from {{ landed_files(entity) }}
{%- endmacro %}

{# Reads the names of the folders and of the loader's marker files, and opens no
   file. #}
{% macro duckdb__latest_fetch(entity) -%}
    {%- set files = modules.re.search("'([^']+)'", landed_files(entity)).group(1) -%}
    {%- set markers = files
        | replace(entity ~ '/*/*.parquet', '.fetched/' ~ entity ~ '/*') -%}
    select
        max(strptime(regexp_extract(file, '\d{8}T\d{12}Z'), '%Y%m%dT%H%M%S%fZ'))
    from (from glob('{{ files }}') union all from glob('{{ markers }}'))
{%- endmacro %}

{% macro redelivered_batches() -%}
    {#- The batches with any delivery of a session that this build reads. Which delivery
        is the latest may have changed, so these batches are processed again. -#}
    {%- set batches = new_batches('sessions') if execute -%}
    {%- if not batches -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set ids = [] -%}
    {%- for row in cached_query(
        'select distinct _batch_id from ' ~ _session_deliveries()
        ~ ' where session_key in (select ' ~ surrogate_key(['session_id']) ~ ' from '
        ~ landed_files('sessions') ~ ' where ' ~ in_list('_batch_id', batches) ~ ')'
    ) -%}
        {%- do ids.append(row[0]) -%}
    {%- endfor -%}
    {{ return((ids + batches) | unique | sort) }}
{%- endmacro %}

{% macro _session_deliveries() -%}
    {#- The table of all deliveries. Without it, as in a lake that an earlier version of
        this project has built, the landed files. -#}
    {{ return(load_relation(api.Relation.create(
        database=target.database or none, schema='intermediate',
        identifier='int_session_deliveries'
    )) or '(select ' ~ surrogate_key(['session_id']) ~ ' as session_key, _batch_id from '
        ~ landed_files('sessions') ~ ')') }}
{%- endmacro %}
