{% macro published_models() -%}
    {%- set models = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.schema in var('published_schemas') -%}
        {%- do models.append((node.schema, node.name)) -%}
    {%- endfor -%}
    {{ return(models | sort) }}
{%- endmacro %}
