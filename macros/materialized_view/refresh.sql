{# Refreshes a view in a transaction and returns the SQL that records the refresh. If no
   table has changed, returns the SQL that moves the watermark past a merge of files, or
   an empty text. #}
{% macro duckdb__refresh_materialized_view(relation) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set state = materialized_view_states()[
        relation.schema ~ '.' ~ relation.identifier
    ] -%}
    {%- set changes = snapshot_changes(state.snapshot_id) -%}
    {%- set table_changes = changed_tables(state, changes) -%}
    {%- if not table_changes.names and not table_changes.fallback_reason -%}
        {%- do log(
            relation.identifier ~ ': no table has changed since snapshot '
            ~ state.snapshot_id, info=True
        ) -%}
        {{ return(
            _advance_watermark(relation, state, changes) if table_changes.compacted
            else ''
        ) }}
    {%- endif -%}
    {%- set resolved = resolve_base_tables(state.definition) -%}
    {%- set choice = _choose_refresh_method(state, table_changes) -%}
    {%- if choice.method == 'feed' -%}
        {%- set reason = apply_delta(relation, state, resolved, table_changes, changes)
            if state.is_additive
            else refresh_stale_groups(
                relation, state, resolved, table_changes, changes
            ) -%}
        {%- if reason -%}
            {%- set choice = {'method': 'recomputed', 'reason': reason} -%}
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
    {{ return(record_refresh(relation, state, resolved, changes, choice, seconds)) }}
{%- endmacro %}

{% macro _choose_refresh_method(state, table_changes) -%}
    {#- The method of the refresh, and the reason: recomputation of all rows if the
        change feed cannot be used, otherwise the one that is expected to be quicker.
        The estimate scales the times of earlier refreshes to the number of rows. -#}
    {%- set compacted = table_changes.names | select('in', table_changes.compacted)
        | first -%}
    {%- set fallback_reason = table_changes.fallback_reason
        or (compacted ~ ' changed, and its files were merged' if compacted) -%}
    {%- if fallback_reason -%}
        {{ return({'method': 'recomputed', 'reason': fallback_reason}) }}
    {%- endif -%}
    {%- set rows = base_row_counts(state.base_tables, state.snapshot_id) -%}
    {%- set total = rows.values() | sum(attribute='live') -%}
    {#- In seconds on two cores, measured with 10 million facts. -#}
    {%- set work = namespace(seconds=0.1 + 5e-8 * (state.row_count | int)) -%}
    {%- for name in table_changes.names -%}
        {%- set work.seconds = work.seconds + 0.05 + 5e-6 * rows[name].changed
            + 1e-7 * rows[name].read_again + 5e-8 * (total - rows[name].live) -%}
    {%- endfor -%}
    {#- A feed that was never used is expected to take half the time, so that it is
        tried. -#}
    {%- set feed_seconds = work.seconds * (state.feed_pace or 0.5) | float -%}
    {%- set recompute_seconds = (state.recompute_seconds | float)
        * (total / [state.base_row_count | int, 1] | max) -%}
    {%- set reason = 'the feed was expected to take ' ~ feed_seconds | round(2)
        ~ ' s, a recomputation ' ~ recompute_seconds | round(2) ~ ' s' -%}
    {{ return({
        'method': 'feed' if feed_seconds <= recompute_seconds else 'recomputed',
        'reason': reason,
        'work': work.seconds,
        'base_row_count': total,
    }) }}
{%- endmacro %}

{% macro recompute(relation, definition, condition='') -%}
    {#- Replaces the rows of a view, or those that meet the condition, by the rows of a
        query. Only rows that differ are written. -#}
    {%- set columns = adapter.get_columns_in_relation(relation)
        | map(attribute='quoted') | list -%}
    {%- do run_query(
        'create or replace temporary table differences as with counted as (select '
        ~ columns | join(', ') ~ ', 1 as _new, 0 as _old from (' ~ definition
        ~ ') as result union all select ' ~ columns | join(', ') ~ ', 0, 1 from '
        ~ relation ~ ' ' ~ condition ~ ') select ' ~ columns | join(', ')
        ~ ', cast(sum(_new) as bigint) as _new, sum(_old) as _old from counted'
        ~ ' group by ' ~ columns | join(', ') ~ ' having sum(_new) <> sum(_old)'
    ) -%}
    {%- do run_query(
        'delete from ' ~ relation ~ ' as old using differences where'
        ~ ' differences._old > 0 and '
        ~ null_safe_join_condition(columns, 'differences', 'old')
    ) -%}
    {%- do run_query(
        'insert into ' ~ relation ~ ' (' ~ columns | join(', ') ~ ') select '
        ~ columns | join(', ') ~ ' from (select *, unnest(range(_new)) as _copy'
        ~ ' from differences where _new > 0)'
    ) -%}
{%- endmacro %}

{% macro _advance_watermark(relation, state, changes) -%}
    {#- SQL that moves the watermark of a view, the snapshot of its last refresh, past a
        merge of files, because the change feed is wrong across a merge. -#}
    {%- do run_cache().get('materialized views', {}).pop(state.name, none) -%}
    {{ live_view(relation, resolve_base_tables(state.definition), state, changes) }};
    update {{ materialized_views() }}
    set snapshot_id = {{ changes.snapshot_id }}
    where schema_name = '{{ relation.schema }}' and view_name = '{{ relation.identifier }}'
{%- endmacro %}
