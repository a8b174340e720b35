{{ config(materialized='view', tags=['rejection_rules', 'cached']) }}

with

session_items as (

    select
        *,
        cast(session_start_time as date) as session_date
    from {{ ref('stg_api__session_items') }}

),

exchange_rates as (

    select
        rate_date,
        currency,
        usd_per_unit
    from {{ ref('int_exchange_rates_daily') }}

),

priced as (

    select
        session_items.*,
        case
            when session_items.currency = 'USD'
                then {{ dbt.safe_cast('session_items.price', 'decimal(18, 6)') }}
            else {{ to_usd('session_items.price', 'exchange_rates.usd_per_unit') }}
        end as price_usd,
        session_items.currency = 'USD' or exchange_rates.usd_per_unit is not null
            as has_exchange_rate,
        case
            when session_items.currency <> 'USD' then session_items.session_date
        end as rate_date
    from session_items
    left join exchange_rates
        on
            session_items.currency = exchange_rates.currency
            and session_items.session_date = exchange_rates.rate_date

),

final as (

    select
        session_id,
        song_id,
        artist_id,
        currency,
        case
            when rejection_reason is not null then rejection_reason
            when not has_exchange_rate then 'no_exchange_rate'
            when price_usd is null or price_usd > {{ var('highest_price_usd') }}
                then 'absurd_price'
        end as rejection_reason,
        item_number,
        price,
        price_usd,
        liked,
        rate_date,
        liked_since,
        session_start_time,
        _payload,
        _position,
        _ingested_at,
        _source,
        _batch_id
    from priced

)

select * from final
