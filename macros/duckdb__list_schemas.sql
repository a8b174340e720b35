{# The adapter's own, asked once and of a name without quotes: dbt quotes it, asks for
   each schema, and creates anew what it does not find. #}
{% macro duckdb__list_schemas(database) -%}
    {{ return(remembered(
        "select schema_name from duckdb_schemas() where database_name = '"
        ~ database | replace('"', '') ~ "'"
    )) }}
{%- endmacro %}
