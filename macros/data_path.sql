{% macro data_path() -%}
    {#- Not where the catalogue says: the lakehouse may have been moved. -#}
    {{ return(run_query(
        "select absolute_path(data_path) from ducklake_settings('" ~ target.database
        ~ "')"
    ).columns[0][0]) }}
{%- endmacro %}
