{% macro last_look(entity) -%}
    {#- What is fetched whole lands only when it has changed: an old batch may be what the
        source says today. -#}
    {{ return(adapter.dispatch('last_look')(entity)) }}
{%- endmacro %}

{% macro default__last_look(entity) -%}
    select max(_ingested_at) from {{ landed(entity) }}
{%- endmacro %}

{# The names of the folders and of the loader's marks say it: no file is opened. #}
{% macro duckdb__last_look(entity) -%}
    {%- set files = modules.re.search("'([^']+)'", landed(entity)).group(1) -%}
    {%- set marks = files | replace(entity ~ '/*/*.parquet', '.fetched/' ~ entity ~ '/*') -%}
    select
        max(strptime(regexp_extract(file, '\d{8}T\d{12}Z'), '%Y%m%dT%H%M%S%fZ'))
    from (from glob('{{ files }}') union all from glob('{{ marks }}'))
{%- endmacro %}
