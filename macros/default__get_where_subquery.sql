{# dbt's own macro knowing more, so that a test costs what the day weighs. With
   `where: is_new_batch` it looks at the batches that the build at hand reads; in a large
   lake, of a table with `meta.grows_by`, at the rows that share that column with one
   that is not published yet. A view that is tagged `asked_once` is worked out once for
   all tests. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set node = graph.nodes.get('model.deftunes.' ~ relation.identifier)
        if execute -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set where = is_read() | trim -%}
        {%- if where != 'false' -%}{%- set relation = read_once(relation) -%}{%- endif -%}
    {%- elif node and node.config.meta.grows_by and flags.WHICH == 'build'
        and batch_ledger() is not none and is_large() -%}
        {%- set where = is_unpublished(relation, node.config.meta.grows_by)
            ~ (' and ' ~ where if where else '') -%}
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
