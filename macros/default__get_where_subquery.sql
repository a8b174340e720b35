{# dbt's own macro knowing more, so that a test costs what the day weighs. With
   `where: is_new_batch` it looks at the batches that the build at hand reads; of a table
   that is tagged `grows` and is large, at those that have changed since what is
   published. A view that is tagged `asked_once` is worked out once for all tests. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set node = graph.nodes.get('model.deftunes.' ~ relation.identifier)
        if execute -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set where = is_read() | trim -%}
        {%- if where != 'false' -%}{%- set relation = read_once(relation) -%}{%- endif -%}
    {%- elif node and 'grows' in node.tags and flags.WHICH == 'build'
        and batch_ledger() is not none and is_large() -%}
        {%- set where = is_unpublished(relation) ~ (' and ' ~ where if where else '') -%}
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
