{% macro read_query(sql) -%}
    {{ return(fromjson(run_query(
        "select read_query('" ~ sql | replace("'", "''") ~ "')"
    ).columns[0][0])) }}
{%- endmacro %}
