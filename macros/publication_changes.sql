{% macro publication_changes(held, models) -%}
    {#- A table that was altered or made anew has everything written anew: what it held
        may be what somebody asked to forget, and a copy's free space would keep it. -#}
    {%- set rows = {} -%}
    {%- set doubts = [] -%}
    {%- if not held -%}
        {%- do doubts.append(
            'nothing is in place that was written this way from a snapshot that is known'
        ) -%}
    {%- elif held[1] -%}
        {%- do doubts.append('a rollback is in place') -%}
    {%- else -%}
        {%- set state = {
            'bases': tables_at(held[0], models),
            'is_additive': true,
            'snapshot_id': held[0] | int,
        } -%}
        {%- set changes = lake_changes(state.snapshot_id) -%}
        {%- set moved = moved_tables(state, changes) -%}
        {%- if moved.doubt -%}{%- do doubts.append(moved.doubt) -%}{%- endif -%}
        {%- set counts = base_row_counts(state.bases, state.snapshot_id) -%}
        {%- for base in state.bases if not doubts -%}
            {%- if base.name not in moved.names -%}
                {%- do rows.update({base.name: []}) -%}
            {%- elif counts[base.name].changed * 2 <= counts[base.name].live -%}
                {%- set feed = ['gained_' ~ loop.index, 'lost_' ~ loop.index] -%}
                {%- do read_changes(base.name, none, state, changes, feed) -%}
                {%- do rows.update({base.name: feed}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if doubts -%}
        {%- do log('All is written anew: ' ~ doubts[0]) -%}
    {%- endif -%}
    {{ return(rows) }}
{%- endmacro %}
