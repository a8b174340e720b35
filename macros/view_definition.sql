{# What DuckDB holds as the definition of a view, formatted its way. #}
{% macro view_definition(relation) -%}
    {{ return(run_query(
        "select sql[strpos(sql, ' AS ') :] from duckdb_views() where database_name = '"
        ~ relation.database ~ "' and schema_name = '" ~ relation.schema
        ~ "' and view_name = '" ~ relation.identifier ~ "'"
    ).columns[0][0]) }}
{%- endmacro %}
