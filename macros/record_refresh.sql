{% macro record_refresh(relation, state, traced, changes, choice, seconds) -%}
    {#- The statements that note a refresh in the registry. -#}
    {%- set registry = target.database ~ '.operations.materialized_views' -%}
    {#- What this run knew of the view is no longer so; no run refreshes it twice. -#}
    {%- do memory().get('materialized views', {}).pop(
        relation.schema ~ '.' ~ relation.identifier, none
    ) -%}
    {%- set bases = [] -%}
    {%- for base in traced.bases -%}
        {%- do bases.append(
            "{'name': '" ~ base.name ~ "', 'id': "
            ~ (base.id if base.id else 'null') ~ ", 'is_linear': "
            ~ base.is_linear | lower ~ "}"
        ) -%}
    {%- endfor -%}
    {{ live_view(relation, traced, state, changes) }};
    delete from {{ registry }}
    where schema_name = '{{ relation.schema }}' and view_name = '{{ relation.identifier }}';
    insert into {{ registry }} by name
    select
        '{{ relation.schema }}' as schema_name,
        '{{ relation.identifier }}' as view_name,
        '{{ state.definition | replace("'", "''") }}' as definition,
        '{{ state.columns | replace("'", "''") }}' as columns,
        {{ state.is_additive | lower }} as is_additive,
        [{{ bases | join(', ') }}] as base_tables,
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
        {#- Recomputing also compares with what is held; seconds on two cores, tried with
            one to ten million facts. #}
        {{ seconds }}
        {%- if choice.method == 'created' %} + 0.05 + 2.5e-7 * count(*){% endif %}
            as recompute_seconds,
        {{ state.feed_pace or 'null' }} as feed_pace,
        {{ base_row_counts(traced.bases, changes.snapshot_id).values()
            | sum(attribute='live') }} as base_row_count,
        {%- endif %}
        count(*) as row_count
    from {{ relation }}
{%- endmacro %}
