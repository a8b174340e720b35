{% macro unsettled_batches(entity, ledger) -%}
    with

    landed as (

        {{ landed_batches(entity) }}

    ),

    settled as (

        select _batch_id
        from {{ ledger }}
        group by _batch_id
        having bool_and(
            missing_count = 0
            and (rejected_count = 0 or rules_version = '{{ rules_version() }}')
            and (
                not awaits_exchange_rates
                or exchange_rates_batch_id = {{ latest_batch('exchange_rates') }}
            )
        )

    )

    select _batch_id
    from landed
    where
        _batch_id >= (
            select min(unsettled._batch_id)
            from landed as unsettled
            where unsettled._batch_id not in (select settled._batch_id from settled)
        )
    order by _batch_id
{%- endmacro %}
