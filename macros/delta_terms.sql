{% macro delta_terms(sql, feeds, snapshot_id) -%}
    {{ return(fromjson(run_query(
        "select delta_terms('" ~ sql | replace("'", "''") ~ "', '"
        ~ tojson(feeds) | replace("'", "''") ~ "', " ~ snapshot_id ~ ')'
    ).columns[0][0])) }}
{%- endmacro %}
