{{
    config(
        unique_key=['_batch_id', 'currency'],
        pre_hook='{{ delete_reprocessed_batches() }}',
    )
}}

with

session_items as (

    select
        case
            when rejection_reason = 'nul_character' then 'unknown'
            else replace(coalesce(currency, 'unknown'), chr(0), '')
        end as currency,
        rejection_reason,
        price,
        _position,
        _ingested_at,
        _batch_id
    from {{ cached_view(ref('int_session_items_priced')) }}
    where price is not null and {{ is_new_batch('sessions') }}

),

latest_sessions as (

    select
        _position,
        _ingested_at
    from {{ ref('int_sessions_latest') }}

),

order_items as (

    select
        currency,
        price,
        _batch_id
    from {{ ref('fact_order_items') }}
    where {{ is_new_batch('sessions') }}

),

landed_per_batch as (

    select
        session_items._batch_id,
        session_items.currency,
        sum(session_items.price) as landed_revenue,
        sum(case
            when session_items.rejection_reason is not null then session_items.price
            else 0
        end) as rejected_revenue,
        -- Items of a superseded delivery are not expected.
        sum(case
            when
                session_items.rejection_reason is null
                and latest_sessions._position is not null
                then session_items.price
            else 0
        end) as expected_revenue
    from session_items
    left join latest_sessions
        on
            session_items._ingested_at = latest_sessions._ingested_at
            and session_items._position = latest_sessions._position
    group by session_items._batch_id, session_items.currency

),

sold_per_batch as (

    select
        _batch_id,
        currency,
        sum(price) as sold_revenue
    from order_items
    group by _batch_id, currency

),

reconciled_batches as (

    select
        landed_per_batch._batch_id,
        landed_per_batch.currency,
        landed_per_batch.landed_revenue,
        landed_per_batch.rejected_revenue,
        landed_per_batch.expected_revenue
        - coalesce(sold_per_batch.sold_revenue, 0) as missing_revenue
    from landed_per_batch
    left join sold_per_batch
        on
            landed_per_batch._batch_id = sold_per_batch._batch_id
            and landed_per_batch.currency = sold_per_batch.currency

),

final as (

    select
        currency,
        landed_revenue,
        landed_revenue - rejected_revenue - missing_revenue as loaded_revenue,
        rejected_revenue,
        missing_revenue,
        {{ batch_ingested_at('_batch_id') }} as _ingested_at,
        _batch_id
    from reconciled_batches

)

select * from final
