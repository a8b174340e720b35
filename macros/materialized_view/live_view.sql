{% macro live_view(relation, resolved, state, changes) -%}
    {#- The statement that creates the live variant of a materialized view: the rows of
        the view plus the changes of its tables since the last refresh, computed when it
        is read. If the query is not additive in each of its tables, or a sum may be
        null, the live variant is the query itself. -#}
    {%- set live = relation.incorporate(
        path={'identifier': relation.identifier ~ '_live'}, type='view'
    ) -%}
    {%- set query = resolved.query -%}
    create or replace view {{ live }} as
    {% if not state.is_additive or resolved.base_tables | rejectattr('is_linear') | list
        or nullable_aggregates(query) -%}
        {{ state.definition }}
    {%- else -%}
        {%- set since = changes.snapshot_id -%}
        {#- The feed is read by time, from the start of this transaction, because it
            names wrong snapshots for files that were merged. This transaction ends with
            the first commit that the feed has to include. -#}
        {%- set read_at = run_query('select now()').columns[0][0] -%}
        {%- set feeds = {} -%}
        {%- set ids = [] -%}
        with
        {%- for base in resolved.base_tables %}
            {%- set number = loop.index -%}
            {%- do ids.append("'" ~ base.id ~ "'") -%}
            {%- do feeds.update({base.name: [
                'inserted_' ~ number, 'deleted_' ~ number
            ]}) -%}
            {%- for rows, types in [('inserted', 'insert|update_postimage'),
                ('deleted', 'delete|update_preimage')] %}
            {{ rows }}_{{ number }} as (
                select * exclude (snapshot_id, rowid, change_type)
                from ducklake_table_changes(
                    '{{ base.name.split('.') | join("', '") }}',
                    timestamptz '{{ read_at }}', now()
                )
                where regexp_full_match(change_type, '{{ types }}')
                -- DuckLake returns a deleted row twice if one commit deletes rows of a
                -- file and then drops the file.
                qualify row_number() over (partition by snapshot_id, rowid) = 1
            ),
            {%- endfor %}
        {%- endfor %}
        {{ _live_groups(relation, resolved, feeds, ids, since) }}
    {%- endif -%}
{%- endmacro %}

{% macro _live_groups(relation, resolved, feeds, ids, since) -%}
    {#- The last part of the live variant's query: adds the changes to the rows of the
        view. The query fails with a clear message if the changes can no longer be
        read. -#}
    {%- set query = resolved.query -%}
    {%- set keys = query['keys'] | join(', ') -%}
    {%- set sums = query.sums | list -%}
    {%- set delta = delta_queries(resolved.sql, feeds, since) | join(
        ' union all ', attribute='query'
    ) -%}
    signed as (
        select {{ keys }}, {{ sums | join(', ') }}, 1 as _sign from {{ relation }}
        union all
        select {{ keys }}, {{ sums | join(', ') }}, _sign from ({{ delta }}) as delta
    ),

    added as (
        select
            {{ keys }}
            {%- for name in sums %},
            sum(case when _sign > 0 then {{ name }} else -{{ name }} end) as {{ name }}
            {%- endfor %}
        from signed
        group by {{ keys }}
    ),

    {#- There is no feed across an expired snapshot, or an altered or replaced
        table. -#}
    guard as (
        select case
            when count(*) filter (snapshot_id = {{ since }}) = 0
                or bool_or(list_has_any(
                    [{{ ids | join(', ') }}],
                    list_concat(changes['tables_dropped'], changes['tables_altered'])
                ))
                then error('{{ relation.identifier }} is out of date: refresh it.')
            else true
        end as is_valid
        from ducklake_snapshots('{{ target.database }}')
        where snapshot_id >= {{ since }}
    )

    select
        {%- for column in adapter.get_columns_in_relation(relation) %}
        {%- set name = column.name %}
        {%- if name in query.derived %}
        {{ query.derived[name] }} as {{ name }}
        {%- elif name in query.sums %}
        cast({{ name }} as {{ column.dtype }}) as {{ name }}
        {%- else %}
        {{ name }}
        {%- endif %}
        {%- if not loop.last %},{% endif %}
        {%- endfor %}
    from added
    cross join guard
    where {{ query.row_count }} > 0 and is_valid
{%- endmacro %}
