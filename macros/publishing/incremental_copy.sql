{% macro publication_changes(publications, models) -%}
    {#- What has to be changed in the databases of an earlier publication. `base`: its
        id, empty if all tables have to be rewritten. `rows`: by table, the names of
        temporary tables with the inserted and the deleted rows, or an empty list for an
        unchanged table; a table that is not in it has to be rewritten, such as one
        whose files were merged. The first publication whose changes are known is the
        base. If any table was altered or replaced, everything is rewritten: the old
        rows may be those of a person to erase, and would stay in the free space of a
        database. -#}
    {%- set result = {
        'base': '',
        'rows': {},
        'fallback_reason': 'no earlier publication has the same definition and a known'
            ~ ' snapshot',
    } -%}
    {%- for publication in publications if publication and not result.base -%}
        {%- set state = {
            'base_tables': tables_at_snapshot(publication.snapshot_id, models),
            'is_additive': true,
            'snapshot_id': publication.snapshot_id | int,
        } -%}
        {%- set changes = snapshot_changes(state.snapshot_id) -%}
        {%- set table_changes = changed_tables(state, changes) -%}
        {%- do result.update({
            'fallback_reason': 'a rollback is published' if publication.is_rollback
                else table_changes.fallback_reason
        }) -%}
        {%- if not result.fallback_reason -%}
            {%- do result.update({'base': publication.publication_id}) -%}
            {%- set counts = base_row_counts(state.base_tables, state.snapshot_id) -%}
            {%- for table in state.base_tables -%}
                {%- if table.name not in table_changes.names -%}
                    {%- do result.rows.update({table.name: []}) -%}
                {%- elif table.name not in table_changes.compacted
                    and counts[table.name].changed * 2 <= counts[table.name].live -%}
                    {%- set rows = ['inserted_' ~ loop.index, 'deleted_' ~ loop.index]
                    -%}
                    {%- do materialize_change_feed(table.name, none, changes, rows) -%}
                    {%- do result.rows.update({table.name: rows}) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if result.fallback_reason -%}
        {%- do log('All tables are rewritten: ' ~ result.fallback_reason) -%}
    {%- endif -%}
    {{ return(result) }}
{%- endmacro %}

{# SQL that applies inserted and deleted rows to a published table. Deleted rows are
   found by the table's unique key, which is quicker because fewer columns are read. If
   the role's file does not have the key, they are found by all visible columns, and as
   many copies of a row are deleted as were deleted from the lake. #}
{% macro sync_rows(table, inserted_rows, deleted_rows, database='readers') -%}
    {%- set visible_columns = table.visible_columns.values() | join(', ') -%}
    {%- set key = _tested_unique_key(table) %}
    delete from {{ database }}.{{ table.relation }}
    where
        rowid in (
            {% if key -%}
            select published_rows.rowid
            from {{ database }}.{{ table.relation }} as published_rows
            inner join {{ deleted_rows }}
                on {{ null_safe_join_condition(key, deleted_rows, 'published_rows') }}
            {%- else -%}
            select numbered._rowid
            from (
                select
                    published_rows.rowid as _rowid,
                    {{ deleted_rows }}._copies,
                    row_number() over (
                        partition by
                            published_rows.
                            {{- table.visible_columns | join(', published_rows.') }}
                    ) as _copy
                from {{ database }}.{{ table.relation }} as published_rows
                inner join
                    (
                        select {{ visible_columns }}, count(*) as _copies
                        from {{ deleted_rows }}
                        group by all
                    ) as {{ deleted_rows }}
                    on {{ null_safe_join_condition(
                        table.visible_columns, deleted_rows, 'published_rows'
                    ) }}
            ) as numbered
            where numbered._copy <= numbered._copies
            {%- endif %}
        );
    insert into {{ database }}.{{ table.relation }}
    select {{ visible_columns }}
    from {{ inserted_rows }}
{%- endmacro %}

{% macro _tested_unique_key(table) -%}
    {#- The quoted columns of a published table that a uniqueness test covers; none if a
        role's file lacks or rounds one of them. -#}
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
        {%- set arguments = test.test_metadata.kwargs -%}
        {%- set key = [] -%}
        {%- for name in arguments.column_list or [arguments.column_name] -%}
            {%- do key.append(adapter.quote(name)) -%}
        {%- endfor -%}
        {%- set exact_columns = [] -%}
        {%- for column, expression in table.visible_columns.items()
            if column in key and expression.startswith('cast(') -%}
            {%- do exact_columns.append(column) -%}
        {%- endfor -%}
        {%- if exact_columns | length == key | length -%}
            {%- do keys.append(key) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(keys | first) }}
{%- endmacro %}
