{% macro own_view_definition(database, schema, name, kept_as, seen) -%}
    {#- That of a view of the lake for another database that holds the same tables: one
        whose rows a materialized view keeps reads them there. -#}
    {%- if kept_as -%}
        {{ return(
            ' as select ' ~ seen.values() | join(', ') ~ ' from '
            ~ adapter.quote(schema) ~ '.' ~ adapter.quote(kept_as)
        ) }}
    {%- endif -%}
    {%- set relation = api.Relation.create(
        database=database, schema=schema, identifier=name
    ) -%}
    {{ return(view_definition(relation).rstrip(';') | replace(database ~ '.', '')) }}
{%- endmacro %}
