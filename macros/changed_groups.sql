{% macro changed_groups(relation, query, delta) -%}
    {#- The groups that change, with their new counts and sums, and with the place of
        the row that holds the old ones. -#}
    create or replace temporary table changed_groups as
    with

    delta as (

        select
            {{ query['keys'] | join(', ') }},
            {%- for name in query.sums %}
            sum(case when _sign > 0 then {{ name }} else -{{ name }} end) as {{ name }},
            bool_or(_sign < 0 and {{ name }} is not null) as _has_lost_{{ name }}
            {%- if not loop.last %},{% endif %}
            {%- endfor %}
        from ({{ delta }}) as terms
        group by {{ query['keys'] | join(', ') }}

    ),

    final as (

        select
            {%- for name in query['keys'] %}
            delta.{{ name }},
            {%- endfor %}
            {%- for name in query.sums %}
            coalesce(held.{{ name }} + delta.{{ name }}, held.{{ name }}, delta.{{ name }})
                as {{ name }},
            delta._has_lost_{{ name }},
            held.{{ name }} as _held_{{ name }},
            {%- endfor %}
            held.rowid as _held_rowid
        from delta
        left join {{ relation }} as held
            on
                {%- for name in query['keys'] %}
                delta.{{ name }} is not distinct from held.{{ name }}
                {%- if not loop.last %} and{% endif %}
                {%- endfor %}

    )

    select * from final
    where
        {%- for name in query.sums %}
        {{ name }} is distinct from _held_{{ name }}{% if not loop.last %} or{% endif %}
        {%- endfor %}
{%- endmacro %}
