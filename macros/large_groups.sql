{% macro large_groups(table, group_size, seen, forms) -%}
    {#- The groups that are left out hold, together, as many persons as the least that are
        shown: what is missing from a total is never what a few have done. -#}
    {%- if group_size and forms is not none and 'person' not in forms -%}
        (
            select *
            from (select *, ({{ group_size }}) as _persons from published.{{ table }} as report)
            qualify not (
                coalesce(_persons, 0) < {{ var('least_group_size') }}
                or coalesce(sum(_persons) over (
                    order by _persons, {{ seen | join(', ') }}
                    rows between unbounded preceding and 1 preceding
                ), 0) between 1 and {{ var('least_group_size') }} - 1
            )
        )
    {%- endif -%}
{%- endmacro %}
