{% macro live_view(relation, traced, state, changes) -%}
    {#- The statement that makes the live variant of a materialized view: its rows, with
        what has changed in its tables since the refresh added as they are read. Of a
        query that is not additive in all that it reads, or whose sums may be null, it is
        the query itself. -#}
    {%- set live = relation.incorporate(
        path={'identifier': relation.identifier ~ '_live'}, type='view'
    ) -%}
    {%- set query = traced.query -%}
    create or replace view {{ live }} as
    {% if not state.is_additive or traced.bases | rejectattr('is_linear') | list
        or nullable_aggregates(query) -%}
        {{ state.definition }}
    {%- else -%}
        {%- set since = changes.snapshot_id -%}
        {#- When this transaction began, which ends with the first commit to look at. Of a
            file that was merged the feed names wrong snapshots. -#}
        {%- set read_at = run_query('select now()').columns[0][0] -%}
        {%- set feeds = {} -%}
        {%- set ids = [] -%}
        with
        {%- for base in traced.bases %}
            {%- set number = loop.index -%}
            {%- do ids.append("'" ~ base.id ~ "'") -%}
            {%- do feeds.update({base.name: [
                'gained_' ~ number, 'lost_' ~ number
            ]}) -%}
            {%- for rows, kind in [('gained', 'insert|update_postimage'),
                ('lost', 'delete|update_preimage')] %}
            {{ rows }}_{{ number }} as (
                select * exclude (snapshot_id, rowid, change_type)
                from ducklake_table_changes(
                    '{{ base.name.split('.') | join("', '") }}',
                    timestamptz '{{ read_at }}', now()
                )
                where regexp_full_match(change_type, '{{ kind }}')
                -- Of a file that one commit first loses rows of and then drops, DuckLake
                -- says those rows twice.
                qualify row_number() over (partition by snapshot_id, rowid) = 1
            ),
            {%- endfor %}
        {%- endfor %}
        {{ _live_groups(relation, traced, feeds, ids, since) }}
    {%- endif -%}
{%- endmacro %}

{% macro _live_groups(relation, traced, feeds, ids, since) -%}
    {#- The end of the live variant's query: the rows of the view and their changes, added
        up. It fails with a clear message where the changes cannot be read any more. -#}
    {%- set query = traced.query -%}
    {%- set keys = query['keys'] | join(', ') -%}
    {%- set sums = query.sums | list -%}
    {%- set delta = delta_queries(traced.sql, feeds, since) | join(
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

    {#- Tables that were altered or made anew, and forgotten snapshots, have no feed. -#}
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
