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
    from {{ read_once(ref('int_session_items_priced')) }}
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

landed as (

    select
        session_items._batch_id,
        session_items.currency,
        sum(session_items.price) as landed_revenue,
        sum(case
            when session_items.rejection_reason is not null then session_items.price
            else 0
        end) as rejected_revenue,
        -- Of another delivery of the session if not of this one.
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

sold as (

    select
        _batch_id,
        currency,
        sum(price) as sold_revenue
    from order_items
    group by _batch_id, currency

),

balanced as (

    select
        landed._batch_id,
        landed.currency,
        landed.landed_revenue,
        landed.rejected_revenue,
        landed.expected_revenue - coalesce(sold.sold_revenue, 0) as missing_revenue
    from landed
    left join sold
        on landed._batch_id = sold._batch_id and landed.currency = sold.currency

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
    from balanced

)

select * from final
