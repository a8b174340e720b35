{# What only a DuckLake needs. #}

{# Iceberg needs no lock: of two commits to a table, the second one fails. But this is
   called before a command reads the views of staging, and they read these tables. #}
{% macro spark__lock_lake() -%}
    {%- for source in graph.sources.values() -%}
        {%- do landed_files(source.name) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro spark__create_materialized_view_registry() -%}{%- endmacro %}
{% macro spark__materialized_view_registry() -%}{{ return(none) }}{%- endmacro %}
{% macro spark__published_commit() -%}{{ return(none) }}{%- endmacro %}

{% macro spark__publish_lake(passed, warned) -%}
    {#- Writes down which files of each table have passed the tests. DuckDB reads these
        and no others, also while Spark builds again. -#}
    {%- set tables = [] -%}
    {%- for node in imported_nodes() -%}
        {%- do tables.append((node.schema, node.name)) -%}
    {%- endfor -%}
    {#- In the home, because Spark alone writes only Iceberg's files to a bucket. -#}
    {%- do write_parquet(
        cached_query('set spark.sql.warehouse.dir')[0][1].rpartition('/')[0]
        ~ '/passed_build', metadata_files(tables)
    ) -%}
    {%- do log(
        'Built by Spark. `dbt build --target spark_serving` publishes it.', info=True
    ) -%}
{%- endmacro %}

{# A table that each build computes anew is never behind. #}
{% macro spark__materialized_views() -%}
    (
        select
            '' as schema_name,
            '' as view_name,
            '' as method,
            '' as reason,
            cast(0 as bigint) as row_count,
            cast(0 as double) as seconds,
            cast(null as timestamp) as refreshed_at
        where false
    )
{%- endmacro %}

{% macro spark__refresh_lag() -%}
    (
        select
            '' as schema_name,
            '' as view_name,
            cast(0 as bigint) as commit_count,
            cast(null as timestamp) as first_commit_at
        where false
    )
{%- endmacro %}

{% macro device_script() -%}
    {#- The command that recognises devices. Each executor runs it, so the project and its
        environment need to be at the same path there. -#}
    {#- dbt parses the macro for every target, and only a shell sets PWD. -#}
    {%- if execute -%}
        {%- set project = env_var('PWD', '.') -%}
        {{ env_var('PYSPARK_PYTHON', '') or project ~ '/.venv-spark/bin/python' }}
        {{- ' ' ~ project }}/scripts/spark/recognise_devices.py
    {%- endif -%}
{%- endmacro %}
