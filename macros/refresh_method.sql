{% macro refresh_method(state, moved) -%}
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
