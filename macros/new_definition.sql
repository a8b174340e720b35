{# The same of a query, made in memory, where it costs nothing. #}
{% macro new_definition(sql) -%}
    {{ return(run_query(
        'create or replace temporary view new_definition as (' ~ sql ~ ");"
        ~ " select sql[strpos(sql, ' AS ') :] from duckdb_views()"
        ~ " where database_name = 'temp' and view_name = 'new_definition'"
    ).columns[0][0]) }}
{%- endmacro %}
