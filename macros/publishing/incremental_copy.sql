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
            'bases': tables_at_snapshot(base.snapshot_id, models),
            'is_additive': true,
            'snapshot_id': base.snapshot_id | int,
        } -%}
        {%- set changes = snapshot_changes(state.snapshot_id) -%}
        {%- set moved = changed_tables(state, changes) -%}
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
                    {%- do materialize_change_feed(table.name, none, state, changes, feed) -%}
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

{# By its key, where the database has it: as many columns less to read. A role may see none
   of it; then as many copies of a row go as were lost of it. #}
{% macro sync_rows(table, gained, lost) -%}
    {%- set seen = table.seen.values() | join(', ') -%}
    {%- set key = _tested_unique_key(table) %}
    delete from readers.{{ table.relation }}
    where
        rowid in (
            {% if key -%}
            select held.rowid
            from readers.{{ table.relation }} as held
            inner join {{ lost }} on {{ null_safe_join_condition(key, lost, 'held') }}
            {%- else -%}
            select found._rowid
            from (
                select
                    held.rowid as _rowid,
                    {{ lost }}._copies,
                    row_number() over (
                        partition by held.{{ table.seen | join(', held.') }}
                    ) as _copy
                from readers.{{ table.relation }} as held
                inner join
                    (
                        select {{ seen }}, count(*) as _copies
                        from {{ lost }}
                        group by all
                    ) as {{ lost }}
                    on {{ null_safe_join_condition(table.seen, lost, 'held') }}
            ) as found
            where found._copy <= found._copies
            {%- endif %}
        );
    insert into readers.{{ table.relation }}
    select {{ seen }}
    from {{ gained }}
{%- endmacro %}

{% macro _tested_unique_key(table) -%}
    {#- The columns, quoted, of a table of a database that readers open, which a test
        proves to be unique; none where the database lacks them as they are. -#}
    {%- set keys = [] -%}
    {%- set models = [] -%}
    {%- for node in graph.nodes.values()
        if table.name == target.database ~ '.' ~ node.schema ~ '.' ~ node.name -%}
        {%- do models.append(node.unique_id) -%}
    {%- endfor -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test'
        and test.test_metadata is defined and test.test_metadata.name in [
            'unique', 'expect_compound_columns_to_be_unique'
        ]
        and test.attached_node in models -%}
        {%- set tested = test.test_metadata.kwargs -%}
        {%- set key = [] -%}
        {%- for name in tested.column_list or [tested.column_name] -%}
            {%- do key.append(adapter.quote(name)) -%}
        {%- endfor -%}
        {%- set exact = [] -%}
        {%- for column, form in table.seen.items()
            if column in key and form.startswith('cast(') -%}
            {%- do exact.append(column) -%}
        {%- endfor -%}
        {%- if exact | length == key | length -%}{%- do keys.append(key) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(keys | first) }}
{%- endmacro %}
