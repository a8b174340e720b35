{# Overrides dbt-duckdb's: writes only those rows of a seed that differ. #}
{% macro duckdb__load_csv_rows(model, agate_table) -%}
    {%- set file = adapter.get_seed_file_path(model) -%}
    {%- do run_query(
        'create or replace temporary table seed_rows as from ' ~ this ~ ' limit 0'
    ) -%}
    {%- do run_query("copy seed_rows from '" ~ file ~ "' (format csv, header true)") -%}
    {%- set sql -%}
        delete from {{ this }} as existing_rows
        where not exists (
            from seed_rows where seed_rows is not distinct from existing_rows
        );
        insert into {{ this }} (from seed_rows except from {{ this }})
    {%- endset -%}
    {%- do adapter.add_query(sql, abridge_sql_log=True) -%}
    {{ return(sql) }}
{%- endmacro %}

{# dbt empties a seed's table in every run. Here duckdb__load_csv_rows deletes the rows
   that are no longer in the file. #}
{% macro duckdb__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {%- if full_refresh -%}
        {{ return(default__reset_csv_table(
            model, full_refresh, old_relation, agate_table
        )) }}
    {%- endif -%}
{%- endmacro %}
