{# DuckLake knows no cascade. #}
{% macro duckdb__drop_table(relation) -%}
    drop table if exists {{ relation }}
{%- endmacro %}
