{% macro generate_schema_name(custom_schema_name, node) -%}
    {#- Overrides dbt's: a schema has its name in dbt_project.yml, without a prefix. -#}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
