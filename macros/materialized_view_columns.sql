{% macro materialized_view_columns() -%}
    {#- The columns that a contract promises, as text; empty without one. -#}
    {%- set columns = {} -%}
    {%- if config.get('contract').enforced -%}
        {%- for column in model.columns.values() -%}
            {%- do columns.update({column.name: [
                column.data_type, column.constraints | map(attribute='type') | list
            ]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(tojson(columns)) }}
{%- endmacro %}
