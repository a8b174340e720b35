{% macro record_refresh(relation, state, bases, changes, choice, seconds) -%}
    {#- The statements that note a refresh in the registry. -#}
    {%- set registry = target.database ~ '.quality.materialized_views' -%}
    {%- set held = [] -%}
    {%- for name, base in bases.items() -%}
        {%- do held.append(
            "{'name': '" ~ name ~ "', 'id': " ~ (base.id or 'null')
            ~ ", 'is_linear': " ~ base.is_linear | lower ~ "}"
        ) -%}
    {%- endfor -%}
    delete from {{ registry }}
    where schema_name = '{{ relation.schema }}' and view_name = '{{ relation.identifier }}';
    insert into {{ registry }} by name
    select
        '{{ relation.schema }}' as schema_name,
        '{{ relation.identifier }}' as view_name,
        '{{ state.definition | replace("'", "''") }}' as definition,
        '{{ state.columns | replace("'", "''") }}' as columns,
        {{ state.is_additive | lower }} as is_additive,
        [{{ held | join(', ') }}] as base_tables,
        {{ changes.snapshot_id }} as snapshot_id,
        cast(now() as timestamp) as refreshed_at,
        '{{ choice.method }}' as method,
        '{{ choice.reason | replace("'", "''") }}' as reason,
        {{ seconds }} as seconds,
        {{ seconds if choice.method != 'feed' else state.recompute_seconds }}
            as recompute_seconds,
        count(*) as row_count
    from {{ relation }}
{%- endmacro %}
