{% macro materialized_views() -%}
    {{ target.database }}.quality.materialized_views
{%- endmacro %}
