{# DuckLake knows no cascade, and a materialized view as a table. #}
{% macro duckdb__drop_relation(relation) -%}
    {%- do forget_relation(relation) -%}
    {%- call statement('drop_relation', auto_begin=false) -%}
        {{ get_drop_sql(relation) }}
    {%- endcall -%}
{%- endmacro %}
