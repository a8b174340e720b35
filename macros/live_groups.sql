{% macro live_groups(relation, traced, feeds, ids, since) -%}
    {%- set query = traced.query -%}
    {%- set keys = query['keys'] | join(', ') -%}
    {%- set sums = query.sums | list -%}
    {%- set delta = delta_terms(traced.sql, feeds, since) | join(
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
