{% macro landed_batches(entity) -%}
    {#- The graph, and with it the place of the files, is known from execution on. -#}
    {%- if execute -%}
        {{ return(adapter.dispatch('landed_batches')(entity)) }}
    {%- endif -%}
{%- endmacro %}

{% macro default__landed_batches(entity) -%}
    select distinct _batch_id from {{ landed(entity) }}
{%- endmacro %}

{# The names of the folders say it: no file is opened. #}
{% macro duckdb__landed_batches(entity) -%}
    {%- set files = modules.re.search("'([^']+)'", landed(entity)).group(1) -%}
    select distinct regexp_extract(file, '_batch_id=([^/]+)', 1) as _batch_id
    from glob('{{ files }}')
{%- endmacro %}
