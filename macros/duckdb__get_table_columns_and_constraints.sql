{# DuckLake enforces not_null and refuses the other constraints: they stay declared in
   the YAML, and tests prove them. #}
{% macro duckdb__get_table_columns_and_constraints() -%}
    (
        {%- for column in model.columns.values() %}
            {{ column.name }} {{ column.data_type }}
            {%- if 'not_null' in column.constraints | map(attribute='type') %} not null
            {%- endif -%}
            {%- if not loop.last %},{% endif -%}
        {%- endfor %}
    )
{%- endmacro %}
