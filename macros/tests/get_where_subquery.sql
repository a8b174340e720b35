{# Overrides dbt's get_where_subquery so that a build tests only new rows. With `where:
   is_new_batch` a test reads only the batches of this build. In a large lake, a test of
   a table with `meta.increment_column` reads only rows that share a value of this
   column with an unpublished row of the table, or of `meta.increment_source`. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- set node = graph.nodes.get('model.' ~ project_name ~ '.' ~ relation.identifier)
        if execute -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set where = is_new_batch() -%}
        {%- set relation = cached_view(relation) -%}
    {%- elif node and node.config.meta.increment_column
        and flags.WHICH == 'build' and _above_full_test_limit() -%}
        {%- do _count_test_of_new_rows() -%}
        {%- set meta = node.config.meta -%}
        {%- set source_node = graph.nodes[
            'model.' ~ project_name ~ '.' ~ (meta.increment_source or node.name)
        ] -%}
        {%- set source_relation = relation.incorporate(path={
            'schema': source_node.schema, 'identifier': source_node.name
        }) -%}
        {%- set where = is_unpublished(source_relation, meta.increment_column)
            ~ (' and ' ~ where if where else '') -%}
    {%- endif -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ where }}) as dbt_subquery
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}

{% macro _above_full_test_limit() -%}
    {#- Whether the lake has more purchases than items_tested_whole. Each landed day or
        part of a day counts as a thousand more, because opening its file takes as long
        as reading them. A fact table that was dropped has none. -#}
    {%- set fact = load_relation(api.Relation.create(
        database=target.database or none, schema='marts', identifier='fact_order_items'
    )) -%}
    {{ return(fact is not none and batch_audit_table() is not none and cached_query(
        'select (select count(*) from ' ~ fact ~ ') + 1000 * (select count(*) from '
        ~ batch_audit_table() ~ " where entity = 'sessions') > "
        ~ var('items_tested_whole')
    )[0][0]) }}
{%- endmacro %}

{% macro tests_all_rows() -%}
    {#- Whether a test is to read all rows. `dbt test` always does. A build does not in
        a large lake, nor if the latest commit is the publication: all rows passed the
        tests before they were published. -#}
    {%- if not execute or flags.WHICH != 'build' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set published = published_commit() -%}
    {%- set is_published = published is not none
        and snapshot_changes(published).snapshot_id == published -%}
    {%- if is_published or _above_full_test_limit() -%}
        {%- do _count_test_of_new_rows() -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(true) }}
{%- endmacro %}

{% macro _count_test_of_new_rows() -%}
    {#- Records in the run cache that the current test reads only new rows. -#}
    {%- do run_cache().setdefault('tests of new rows', {}).update(
        {model.unique_id: true}
    ) -%}
{%- endmacro %}

{% macro log_tests_of_new_rows() -%}
    {%- set tests = run_cache().get('tests of new rows', {}) if execute else {} -%}
    {%- if tests -%}
        {%- do log(
            'Tests that read only new rows: ' ~ tests | length
            ~ '. `dbt test` reads all rows.', info=True
        ) -%}
    {%- endif -%}
{%- endmacro %}

{% macro is_unpublished(table, column) -%}
    {#- A condition: the row has a value of the column that also a row has which was
        inserted into the table after the latest publication. True if that cannot be
        determined. -#}
    {%- set since = published_commit() -%}
    {%- if since is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set changes = snapshot_changes(since) -%}
    {%- if changes.snapshot_id == since -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set tables = tables_at_snapshot(since, [(table.schema, table.identifier)]) -%}
    {%- set table_changes = changed_tables(
        {'base_tables': tables, 'is_additive': true}, changes
    ) -%}
    {%- if not tables or table_changes.fallback_reason or table_changes.compacted -%}
        {{ return('true') }}
    {%- elif not table_changes.names -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set queries = [] -%}
    {%- for first, last in changes.snapshot_ranges -%}
        {%- do queries.append(
            'select distinct ' ~ column ~ " from ducklake_table_insertions('"
            ~ table.database ~ "', '" ~ table.schema ~ "', '" ~ table.identifier ~ "', "
            ~ first ~ ', ' ~ last ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set inserted_values = queries | join(' union ') -%}
    {%- if column != '_batch_id' -%}
        {{ return(column ~ ' in (' ~ inserted_values ~ ')') }}
    {%- endif -%}
    {{ return(in_list(column, cached_query(inserted_values) | map('first') | list)) }}
{%- endmacro %}
