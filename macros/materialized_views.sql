{% macro materialized_views() -%}
    {{ target.database }}.operations.materialized_views
{%- endmacro %}
