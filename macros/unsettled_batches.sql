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

    ),

    unsettled as (

        select
            {{ batch_window('_batch_id') }} as batch_window,
            min(_batch_id) as first_id
        from landed
        where _batch_id not in (select settled._batch_id from settled)
        group by {{ batch_window('_batch_id') }}

    )

    select landed._batch_id
    from landed
    inner join unsettled
        on
            {{ batch_window('landed._batch_id') }} = unsettled.batch_window
            and landed._batch_id >= unsettled.first_id
    order by landed._batch_id
{%- endmacro %}
