{# A materialized view is created in one transaction with the end of what it replaces. #}
{% macro duckdb__get_replace_sql(existing_relation, target_relation, sql) -%}
    {%- if target_relation.is_materialized_view -%}
        {{ return(get_create_materialized_view_as_sql(target_relation, sql)) }}
    {%- endif -%}
    {{ return(default__get_replace_sql(existing_relation, target_relation, sql)) }}
{%- endmacro %}
