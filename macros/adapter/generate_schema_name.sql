{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- Overrides dbt's: a schema is called what dbt_project.yml says, without a
        prefix. -#}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
