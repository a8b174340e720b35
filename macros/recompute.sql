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
        ~ ' differences._held > 0 and ' ~ null_safe_match(columns, 'differences', 'held')
    ) -%}
    {%- do run_query(
        'insert into ' ~ relation ~ ' (' ~ columns | join(', ') ~ ') select '
        ~ columns | join(', ') ~ ' from (select *, unnest(range(_wanted)) as _copy'
        ~ ' from differences where _wanted > 0)'
    ) -%}
{%- endmacro %}
