{# dbt's own macro knowing more, so that a test costs what the day weighs. With
   `where: is_new_batch` it looks at the batches that the build at hand reads; in a large
   lake, of a table with `meta.grows_by`, at the rows that share that column with one
   that is not published yet, be it of another table, `meta.grows_with`. Of a view with
   `meta.kept_as` it looks at none there: the tests of the materialized view that keeps
   its rows see them. A view that is tagged `asked_once` is worked out once for all
   tests. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set node = graph.nodes.get('model.deftunes.' ~ relation.identifier)
        if execute -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set where = is_read() | trim -%}
        {%- if where != 'false' -%}{%- set relation = read_once(relation) -%}{%- endif -%}
    {%- elif node and (node.config.meta.grows_by or node.config.meta.kept_as)
        and flags.WHICH == 'build' and batch_ledger() is not none and is_large() -%}
        {%- set meta = node.config.meta -%}
        {%- set grown = relation if not meta.grows_with
            else relation.incorporate(path={
                'schema': graph.nodes['model.deftunes.' ~ meta.grows_with].schema,
                'identifier': meta.grows_with,
            }) -%}
        {%- set looked_at = 'false' if meta.kept_as
            else is_unpublished(grown, meta.grows_by) -%}
        {%- set where = looked_at ~ (' and ' ~ where if where else '') -%}
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
