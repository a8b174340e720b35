{# Nothing when nothing has moved, but that what was merged is left behind; else what has
   been worked out so far is in the open transaction, and what ends it is returned. #}
{% macro duckdb__refresh_materialized_view(relation) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set state = materialized_view_states()[
        relation.schema ~ '.' ~ relation.identifier
    ] -%}
    {%- set changes = lake_changes(state.snapshot_id) -%}
    {%- set moved = moved_tables(state, changes) -%}
    {%- if not moved.names and not moved.doubt -%}
        {%- do log(
            relation.identifier ~ ': nothing has moved since snapshot '
            ~ state.snapshot_id, info=True
        ) -%}
        {{ return(
            leave_merged_behind(relation, state, changes) if moved.merged else ''
        ) }}
    {%- endif -%}
    {%- set traced = traced_query(state.definition) -%}
    {%- set choice = refresh_method(state, moved) -%}
    {%- if choice.method == 'feed' -%}
        {%- set apply = apply_changes if state.is_additive else recompute_groups -%}
        {%- set doubt = apply(relation, state, traced, moved, changes) -%}
        {%- if doubt -%}
            {%- set choice = {'method': 'recomputed', 'reason': doubt} -%}
        {%- endif -%}
    {%- endif -%}
    {%- if choice.method == 'recomputed' -%}
        {%- do recompute(relation, state.definition) -%}
    {%- endif -%}
    {%- set seconds = (modules.datetime.datetime.now() - started).total_seconds() -%}
    {%- do log(
        relation.identifier ~ ': ' ~ choice.method ~ ' in ' ~ seconds | round(3)
        ~ ' s, because ' ~ choice.reason, info=True
    ) -%}
    {{ return(record_refresh(relation, state, traced, changes, choice, seconds)) }}
{%- endmacro %}
