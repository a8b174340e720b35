{% macro publication_changes(bases, models) -%}
    {#- A table that was altered or made anew has everything written anew: what it held
        may be what somebody asked to forget, and free space of a database would keep
        it. The first of the bases that can be told what has changed since is taken. A
        table whose files were merged since is written anew by itself. -#}
    {%- set found = {
        'base': '',
        'rows': {},
        'doubt': 'nothing is in place that was written this way from a snapshot that is'
            ~ ' known',
    } -%}
    {%- for base in bases if base and not found.base -%}
        {%- set state = {
            'bases': tables_at(base.snapshot_id, models),
            'is_additive': true,
            'snapshot_id': base.snapshot_id | int,
        } -%}
        {%- set changes = lake_changes(state.snapshot_id) -%}
        {%- set moved = moved_tables(state, changes) -%}
        {%- do found.update({
            'doubt': 'a rollback is in place' if base.is_rollback else moved.doubt
        }) -%}
        {%- if not found.doubt -%}
            {%- do found.update({'base': base.publication_id}) -%}
            {%- set counts = base_row_counts(state.bases, state.snapshot_id) -%}
            {%- for table in state.bases -%}
                {%- if table.name not in moved.names -%}
                    {%- do found.rows.update({table.name: []}) -%}
                {%- elif table.name not in moved.merged
                    and counts[table.name].changed * 2 <= counts[table.name].live -%}
                    {%- set feed = ['gained_' ~ loop.index, 'lost_' ~ loop.index] -%}
                    {%- do read_changes(table.name, none, state, changes, feed) -%}
                    {%- do found.rows.update({table.name: feed}) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if found.doubt -%}
        {%- do log('All is written anew: ' ~ found.doubt) -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}
