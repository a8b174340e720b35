{# dbt's own macro knowing more, so that a test costs what the day weighs. With
   `where: is_new_batch` it looks at the batches that the build at hand reads, as it does
   at a table that is tagged `grows` where not all of it is to be compared. A view that
   is tagged `asked_once` is worked out once for all of its tests. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set node = graph.nodes.get('model.deftunes.' ~ relation.identifier)
        if execute -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set relation = read_once(relation) -%}
        {%- set where = is_read() -%}
    {%- elif node and 'grows' in node.tags and batches_read() is not none
        and not tests_whole_history() -%}
        {%- set where = is_read() ~ (' and ' ~ where if where else '') -%}
    {%- elif node and 'asked_once' in node.tags
        and node.config.materialized == 'view' -%}
        {%- set relation = asked_once(relation) -%}
    {%- endif -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ where }}) as dbt_subquery
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}
