{# Nothing when nothing has moved, but that what was merged is left behind; else what has
   been worked out so far is in the open transaction, and what ends it is returned. #}
{% macro duckdb__refresh_materialized_view(relation) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set state = materialized_view_states()[
        relation.schema ~ '.' ~ relation.identifier
    ] -%}
    {%- set changes = snapshot_changes(state.snapshot_id) -%}
    {%- set moved = changed_tables(state, changes) -%}
    {%- if not moved.names and not moved.doubt -%}
        {%- do log(
            relation.identifier ~ ': nothing has moved since snapshot '
            ~ state.snapshot_id, info=True
        ) -%}
        {{ return(
            _advance_watermark(relation, state, changes) if moved.merged else ''
        ) }}
    {%- endif -%}
    {%- set traced = resolve_base_tables(state.definition) -%}
    {%- set choice = _choose_refresh_method(state, moved) -%}
    {%- if choice.method == 'feed' -%}
        {%- set doubt = apply_delta(relation, state, traced, moved, changes)
            if state.is_additive
            else refresh_stale_groups(relation, state, traced, moved, changes) -%}
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

{% macro _choose_refresh_method(state, moved) -%}
    {#- How to refresh, and why: by whichever is expected to be quicker, the feed or
        computing all rows anew, wherever the feed gives the right answer. What was
        measured last counts, scaled to the work at hand. -#}
    {%- set merged = moved.names | select('in', moved.merged) | first -%}
    {%- if moved.doubt or merged -%}
        {{ return({
            'method': 'recomputed',
            'reason': moved.doubt or merged ~ ' moved, and its files were merged',
        }) }}
    {%- endif -%}
    {%- set rows = base_row_counts(state.bases, state.snapshot_id) -%}
    {%- set total = rows.values() | sum(attribute='live') -%}
    {#- Seconds on two cores; tried with 10 million facts. -#}
    {%- set work = namespace(seconds=0.1 + 5e-8 * (state.row_count | int)) -%}
    {%- for name in moved.names -%}
        {%- set work.seconds = work.seconds + 0.05 + 5e-6 * rows[name].changed
            + 1e-7 * rows[name].read_again + 5e-8 * (total - rows[name].live) -%}
    {%- endfor -%}
    {#- What was never tried is taken to be twice as quick, so that it is tried. -#}
    {%- set feed = work.seconds * (state.feed_pace or 0.5) | float -%}
    {%- set whole = (state.recompute_seconds | float)
        * (total / [state.base_row_count | int, 1] | max) -%}
    {%- set reason = 'the feed was expected to take ' ~ feed | round(2)
        ~ ' s, all rows ' ~ whole | round(2) ~ ' s' -%}
    {{ return({
        'method': 'feed' if feed <= whole else 'recomputed',
        'reason': reason,
        'work': work.seconds,
        'base_row_count': total,
    }) }}
{%- endmacro %}

{% macro recompute(relation, definition, held='') -%}
    {#- Brings a view, or what it holds of some groups, up to date by a query; only rows
        that differ are written. -#}
    {%- set columns = adapter.get_columns_in_relation(relation)
        | map(attribute='quoted') | list -%}
    {%- do run_query(
        'create or replace temporary table differences as with counted as (select '
        ~ columns | join(', ') ~ ', 1 as _wanted, 0 as _held from (' ~ definition
        ~ ') as result union all select ' ~ columns | join(', ') ~ ', 0, 1 from '
        ~ relation ~ ' ' ~ held ~ ') select ' ~ columns | join(', ')
        ~ ', cast(sum(_wanted) as bigint) as _wanted, sum(_held) as _held from counted'
        ~ ' group by ' ~ columns | join(', ') ~ ' having sum(_wanted) <> sum(_held)'
    ) -%}
    {%- do run_query(
        'delete from ' ~ relation ~ ' as held using differences where'
        ~ ' differences._held > 0 and '
        ~ null_safe_join_condition(columns, 'differences', 'held')
    ) -%}
    {%- do run_query(
        'insert into ' ~ relation ~ ' (' ~ columns | join(', ') ~ ') select '
        ~ columns | join(', ') ~ ' from (select *, unnest(range(_wanted)) as _copy'
        ~ ' from differences where _wanted > 0)'
    ) -%}
{%- endmacro %}

{% macro _advance_watermark(relation, state, changes) -%}
    {#- The statements that let the next refresh of a view, and its live variant, read the
        feed from after the files of its tables were merged. -#}
    {%- do run_cache().get('materialized views', {}).pop(state.name, none) -%}
    {{ live_view(relation, resolve_base_tables(state.definition), state, changes) }};
    update {{ target.database }}.operations.materialized_views
    set snapshot_id = {{ changes.snapshot_id }}
    where schema_name = '{{ relation.schema }}' and view_name = '{{ relation.identifier }}'
{%- endmacro %}
