{% macro changed_groups(relation, query, delta) -%}
    {#- Works out which groups change, with their new counts and sums, and the place of
        the row that holds the old ones. -#}
    {%- set keys = query['keys'] -%}
    {%- set sums = query.sums | list -%}
    {%- call statement() -%}
        create or replace temporary table delta as
        select
            {{ keys | join(', ') }},
            {%- for name in sums %}
            sum(case when _sign > 0 then {{ name }} else -{{ name }} end) as {{ name }},
            bool_or(_sign < 0 and {{ name }} is not null) as _has_lost_{{ name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        from ({{ delta }}) as terms
        group by {{ keys | join(', ') }}
    {%- endcall -%}
    {%- call statement() -%}
        create or replace temporary table changed_groups as
        select
            {%- for name in keys %}
            delta.{{ name }},
            {%- endfor %}
            {%- for name in sums %}
            coalesce(held.{{ name }} + delta.{{ name }}, held.{{ name }}, delta.{{ name }})
                as {{ name }},
            delta._has_lost_{{ name }},
            {%- endfor %}
            held.rowid as _held_rowid
        from delta
        left join {{ relation }} as held
            on {{ null_safe_match(keys, 'delta', 'held') }}
        where
            {%- for name in sums %}
            coalesce(held.{{ name }} + delta.{{ name }}, held.{{ name }}, delta.{{ name }})
            is distinct from held.{{ name }}
            {%- if not loop.last %} or{% endif %}
            {%- endfor %}
    {%- endcall -%}
{%- endmacro %}
