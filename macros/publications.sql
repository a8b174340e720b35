{% macro publications() -%}
    {{ return(run_query(
        "select format('{}.{}.{}', database_name, schema_name, table_name)"
        ~ " from duckdb_tables() where database_name = '" ~ target.database
        ~ "' and schema_name = 'quality' and table_name = 'publications'"
    ).columns[0].values() | first) }}
{%- endmacro %}
