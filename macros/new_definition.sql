{# The same of a query, made in memory, where it costs nothing. #}
{% macro new_definition(sql) -%}
    {%- do run_query(
        'create or replace temporary view new_definition as (' ~ sql ~ ')'
    ) -%}
    {{ return(view_definition(api.Relation.create(
        database='temp', schema='main', identifier='new_definition'
    ))) }}
{%- endmacro %}
