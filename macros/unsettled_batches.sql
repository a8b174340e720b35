{% macro unsettled_batches(entities, ledger) -%}
    with

    landed as (

        {% for entity in entities -%}
        select
            '{{ entity }}' as entity,
            _batch_id
        from ({{ landed_batches(entity) }}) as landed_{{ entity }}
        {%- if not loop.last %}
        union all
        {% endif -%}
        {%- endfor %}

    ),

    settled as (

        {% if ledger is none -%}
        select '' as _batch_id
        where false
        {%- else -%}
        select _batch_id
        from {{ ledger }}
        group by _batch_id
        having bool_and(
            is_settled
            and missing_count = 0
            and rules_version = '{{ rules_version() }}'
            and coalesce(last_rate_date < {{ first_changed_rate_date(ledger) }}, true)
        )
        {%- endif %}

    ),

    first_unsettled as (

        select
            entity,
            min(_batch_id) as _batch_id
        from landed
        where _batch_id not in (select settled._batch_id from settled)
        group by entity

    )

    select
        landed.entity,
        landed._batch_id
    from landed
    inner join first_unsettled on landed.entity = first_unsettled.entity
    where landed._batch_id >= first_unsettled._batch_id
    order by landed.entity, landed._batch_id
{%- endmacro %}
