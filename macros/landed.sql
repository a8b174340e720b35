{% macro landed(entity) -%}
    {#- Where the files of an entity are, as the sources say. -#}
    {%- set source = graph.sources.values()
        | selectattr('name', 'equalto', entity) | first -%}
    {{ source.config.meta.external_location | replace('{name}', entity) }}
{%- endmacro %}
