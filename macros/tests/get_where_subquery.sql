{# dbt's own macro knowing more, so that a test costs what the day weighs. With
   `where: is_new_batch` it looks at the batches that the build at hand reads; in a large
   lake, of a table with `meta.grows_by`, at the rows that share that column with one
   that is not published yet, be it of another table, `meta.grows_with`. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ relation.identifier)
        if execute -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set where = is_read() | trim -%}
        {%- if where != 'false' -%}{%- set relation = read_once(relation) -%}{%- endif -%}
    {%- elif node and node.config.meta.grows_by
        and flags.WHICH == 'build' and batch_ledger() is not none
        and _above_full_test_limit() -%}
        {%- set meta = node.config.meta -%}
        {%- set grown = relation if not meta.grows_with
            else relation.incorporate(path={
                'schema': graph.nodes['model.' ~ project_name ~ '.' ~ meta.grows_with].schema,
                'identifier': meta.grows_with,
            }) -%}
        {%- set where = is_unpublished(grown, meta.grows_by) ~ (' and ' ~ where if where else '') -%}
    {%- endif -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ where }}) as dbt_subquery
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}

{% macro _above_full_test_limit() -%}
    {#- Whether the lake holds more purchases than a build looks at again each time. A
        table that somebody has dropped holds none. -#}
    {%- set fact = load_relation(api.Relation.create(
        database=target.database, schema='marts', identifier='fact_order_items'
    )) -%}
    {{ return(fact is not none and cached_query(
        'select count(*) > ' ~ var('items_tested_whole') ~ ' from ' ~ fact
    )[0][0]) }}
{%- endmacro %}

{% macro tests_all_rows() -%}
    {#- Whether a test that could compare all that was ever landed is to do so. Where that
        would take long, a build compares what it has read itself, and `dbt test` all.
        What was published has passed, and is as it was if its commit is the last one. -#}
    {%- if not execute or flags.WHICH != 'build' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set published = published_commit() -%}
    {{ return(not (
        published is not none and snapshot_changes(published).snapshot_id == published
        or _above_full_test_limit()
    )) }}
{%- endmacro %}

{% macro is_unpublished(table, column) -%}
    {#- A condition: the row has a value of the column of which the table has gained rows
        since what is published. True where that cannot be told. -#}
    {%- set since = published_commit() -%}
    {%- if since is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set changes = snapshot_changes(since) -%}
    {%- if changes.snapshot_id == since -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set bases = tables_at_snapshot(since, [(table.schema, table.identifier)]) -%}
    {%- set moved = changed_tables({'bases': bases, 'is_additive': true}, changes) -%}
    {%- if not bases or moved.doubt or moved.merged -%}
        {{ return('true') }}
    {%- elif not moved.names -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set told = [] -%}
    {%- for first, last in changes.spans -%}
        {%- do told.append(
            'select distinct ' ~ column ~ " from ducklake_table_insertions('" ~ table.database
            ~ "', '" ~ table.schema ~ "', '" ~ table.identifier ~ "', " ~ first ~ ', '
            ~ last ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set gained = told | join(' union ') -%}
    {%- if column != '_batch_id' -%}
        {{ return(column ~ ' in (' ~ gained ~ ')') }}
    {%- endif -%}
    {{ return(in_list(column, cached_query(gained) | map('first') | list)) }}
{%- endmacro %}
