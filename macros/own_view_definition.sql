{% macro own_view_definition(database, schema, name) -%}
    {#- That of a view of the lake for another database that holds the same tables. -#}
    {%- set relation = api.Relation.create(
        database=database, schema=schema, identifier=name
    ) -%}
    {{ return(view_definition(relation).rstrip(';') | replace(database ~ '.', '')) }}
{%- endmacro %}
