{# dbt empties a seed's table at every run; here duckdb__load_csv_rows takes out what
   the file no longer says. #}
{% macro duckdb__reset_csv_table(model, full_refresh, old_relation, agate_table) -%}
    {%- if full_refresh -%}
        {{ return(default__reset_csv_table(
            model, full_refresh, old_relation, agate_table
        )) }}
    {%- endif -%}
{%- endmacro %}
