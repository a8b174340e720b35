{# Overrides dbt-spark's, which refuses the strategy `replace`. #}
{% macro dbt_spark_validate_get_incremental_strategy(raw_strategy, file_format) -%}
    {{ return(raw_strategy) }}
{%- endmacro %}

{# Overrides dbt-spark's. As on DuckDB, `replace` without rows changes nothing. #}
{% macro dbt_spark_get_incremental_sql(
    strategy, source, target, existing, unique_key, incremental_predicates
) -%}
    {%- if strategy == 'replace' and not run_query(
        'select 1 from ' ~ source ~ ' limit 1'
    ).rows -%}
        select 1
    {%- else -%}
        {{ spark__get_merge_sql(
            target, source, unique_key, none, incremental_predicates,
            deletes=strategy == 'replace'
        ) }}
    {%- endif -%}
{%- endmacro %}

{# Overrides dbt-spark's, which ignores `merge_update_condition`: writes only rows that
   differ. With `deletes`, rows that the source lacks are deleted. #}
{% macro spark__get_merge_sql(
    target, source, unique_key, dest_columns, incremental_predicates, deletes=false
) -%}
    {%- set columns = adapter.get_columns_in_relation(target)
        | map(attribute='name') | list -%}
    {%- set keys = [unique_key] if unique_key is string else unique_key -%}
    merge into {{ target }} as dbt_internal_dest
    using {{ source }} as dbt_internal_source
    on
        {%- for key in keys %}
        dbt_internal_source.{{ key }} = dbt_internal_dest.{{ key }}
        {%- if not loop.last %} and{% endif -%}
        {%- endfor %}
    when matched and not (
        {%- for column in columns %}
        dbt_internal_source.{{ column }} <=> dbt_internal_dest.{{ column }}
        {%- if not loop.last %} and{% endif -%}
        {%- endfor %}
    ) then update set *
    when not matched then insert *
    {%- if deletes %}
    when not matched by source then delete
    {%- endif %}
{%- endmacro %}

{# Overrides dbt-spark's: an Iceberg catalogue takes no view without a schema. #}
{% macro spark_build_snapshot_staging_table(strategy, sql, target_relation) -%}
    {%- set view = api.Relation.create(
        identifier=target_relation.identifier ~ '__dbt_tmp', type='view'
    ) -%}
    {%- call statement('build_snapshot_staging_relation') -%}
        create or replace temporary view {{ view }} as
        {{ snapshot_staging_table(strategy, sql, target_relation) }}
    {%- endcall -%}
    {{ return(view) }}
{%- endmacro %}

{# Overrides dbt-spark's, which escapes nothing. #}
{% macro spark__load_csv_rows(model, agate_table) -%}
    {%- set rows = [] -%}
    {%- for row in agate_table.rows -%}
        {%- set values = [] -%}
        {%- for value in row -%}
            {%- do values.append('null' if value is none else "'" ~ (
                value | string | replace('\\', '\\\\') | replace("'", "\\'")
            ) ~ "'") -%}
        {%- endfor -%}
        {%- do rows.append('(' ~ values | join(', ') ~ ')') -%}
    {%- endfor -%}
    {%- set sql = 'insert into ' ~ this ~ ' values ' ~ rows | join(', ') -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{ return(sql) }}
{%- endmacro %}

{# Overrides dbt-spark's, which does not know DuckDB's names of types. #}
{% macro spark__create_csv_table(model, agate_table) -%}
    {%- set types = model.config.column_types or {} -%}
    {%- set sql -%}
        create or replace table {{ this }} (
            {%- for name in agate_table.column_names %}
            {{ name }} {{ spark_type(
                types.get(name) or adapter.convert_type(agate_table, loop.index0)
            ) }}
            {%- if not loop.last %},{% endif -%}
            {%- endfor %}
        ) {{ file_format_clause() }} {{ comment_clause() }}
    {%- endset -%}
    {%- call statement('_') -%}{{ sql }}{%- endcall -%}
    {{ return(sql) }}
{%- endmacro %}

{# Overrides dbt-spark's, which drops the table first. #}
{% macro spark__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {{ return(create_csv_table(model, agate_table)) }}
{%- endmacro %}
