{% macro materialized_view_registry() -%}
    {#- The table with the state of each materialized view; none in a lake without
        materialized views. -#}
    {{ return(adapter.dispatch('materialized_view_registry')()) }}
{%- endmacro %}

{% macro duckdb__materialized_view_registry() -%}
    {%- set registry = api.Relation.create(
        database=target.database, schema='operations', identifier='materialized_views',
        type='table'
    ) -%}
    {%- set cache = run_cache() -%}
    {%- if cache.get('has registry') or run_query(
        "select 1 from system.information_schema.tables where table_catalog = '"
        ~ registry.database ~ "' and table_schema = '" ~ registry.schema
        ~ "' and table_name = '" ~ registry.identifier ~ "'"
    ).rows | length -%}
        {%- do cache.update({'has registry': true}) -%}
        {{ return(registry) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}

{% macro materialized_view_states() -%}
    {#- The state of each materialized view by `schema.name`: its entry in the registry,
        and the options group_key and refresh_groups_when of its model. -#}
    {%- set cache = run_cache() -%}
    {%- if 'materialized views' not in cache -%}
        {%- set states = {} -%}
        {%- set registry = materialized_view_registry() -%}
        {%- for row in (run_query(
            "select concat(schema_name, '.', view_name) as name, definition, columns,"
            ~ " is_additive, snapshot_id, recompute_seconds, feed_pace, base_row_count,"
            ~ " row_count, cast(to_json(base_tables) as varchar) as base_tables from "
            ~ registry
        ).rows if registry is not none else []) -%}
            {%- set state = dict(row.dict()) -%}
            {%- do state.update({'base_tables': fromjson(state.base_tables)}) -%}
            {%- do states.update({state.name: state}) -%}
        {%- endfor -%}
        {%- for node in graph.nodes.values()
            if node.schema ~ '.' ~ node.name in states -%}
            {%- do states[node.schema ~ '.' ~ node.name].update({
                'group_key': node.config.get('group_key'),
                'refresh_groups_when': node.config.get('refresh_groups_when'),
            }) -%}
        {%- endfor -%}
        {%- do cache.update({'materialized views': states}) -%}
    {%- endif -%}
    {{ return(cache['materialized views']) }}
{%- endmacro %}

{% macro materialized_views() -%}
    {{ return(adapter.dispatch('materialized_views')()) }}
{%- endmacro %}

{% macro duckdb__materialized_views() -%}
    {{ target.database }}.operations.materialized_views
{%- endmacro %}

{% macro create_materialized_view_registry() -%}
    {{ return(adapter.dispatch('create_materialized_view_registry')()) }}
{%- endmacro %}

{% macro duckdb__create_materialized_view_registry() -%}
    create schema if not exists {{ target.database }}.operations;
    create table if not exists {{ materialized_views() }} (
        schema_name varchar,
        view_name varchar,
        definition varchar,
        columns varchar,
        is_additive boolean,
        base_tables struct(name varchar, id bigint, is_linear boolean)[],
        snapshot_id bigint,
        refreshed_at timestamp,
        method varchar,
        reason varchar,
        seconds double,
        recompute_seconds double,
        feed_pace double,
        base_row_count bigint,
        row_count bigint
    );
{%- endmacro %}

{% macro record_refresh(relation, state, resolved, changes, choice, seconds) -%}
    {#- SQL that records a refresh in the registry. -#}
    {%- set registry = materialized_views() -%}
    {#- The cached state of the view is outdated now. -#}
    {%- do run_cache().get('materialized views', {}).pop(
        relation.schema ~ '.' ~ relation.identifier, none
    ) -%}
    {%- set base_tables = [] -%}
    {%- for table in resolved.base_tables -%}
        {%- do base_tables.append(
            "{'name': '" ~ table.name ~ "', 'id': "
            ~ (table.id if table.id else 'null') ~ ", 'is_linear': "
            ~ table.is_linear | lower ~ "}"
        ) -%}
    {%- endfor -%}
    {{ live_view(relation, resolved, state, changes) }};
    delete from {{ registry }}
    where schema_name = '{{ relation.schema }}' and view_name = '{{ relation.identifier }}';
    insert into {{ registry }} by name
    select
        '{{ relation.schema }}' as schema_name,
        '{{ relation.identifier }}' as view_name,
        '{{ state.definition | replace("'", "''") }}' as definition,
        '{{ state.columns | replace("'", "''") }}' as columns,
        {{ state.is_additive | lower }} as is_additive,
        [{{ base_tables | join(', ') }}] as base_tables,
        {{ changes.snapshot_id }} as snapshot_id,
        cast(now() as timestamp) as refreshed_at,
        '{{ choice.method }}' as method,
        '{{ choice.reason | replace("'", "''") }}' as reason,
        {{ seconds }} as seconds,
        {%- if choice.method == 'feed' %}
        {{ state.recompute_seconds }} as recompute_seconds,
        {{ seconds / choice.work }} as feed_pace,
        {{ state.base_row_count }} as base_row_count,
        {%- else %}
        {#- Unlike a creation, a recomputation also compares rows; seconds on two cores,
            measured with one to ten million facts. #}
        {{ seconds }}
        {%- if choice.method == 'created' %} + 0.05 + 2.5e-7 * count(*){% endif %}
            as recompute_seconds,
        {{ state.feed_pace or 'null' }} as feed_pace,
        {{ base_row_counts(resolved.base_tables, changes.snapshot_id).values()
            | sum(attribute='live') }} as base_row_count,
        {%- endif %}
        count(*) as row_count
    from {{ relation }}
{%- endmacro %}
