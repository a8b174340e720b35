{% macro batch_window(batch_id) -%}
    {{ dbt.split_part(batch_id, "'_'", 2) }}
{%- endmacro %}
