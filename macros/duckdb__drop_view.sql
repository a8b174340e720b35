{# DuckLake knows no cascade. #}
{% macro duckdb__drop_view(relation) -%}
    drop view if exists {{ relation }}
{%- endmacro %}
