{{ config(materialized='view', tags=['judges_records', 'spooled']) }}

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
        usd_per_unit,
        published_date
    from {{ ref('int_exchange_rates_daily') }}

),

-- What a list lacks no later list will bring, but each day has a list of its own.
last_list as (

    select max(published_date) as published_date
    from exchange_rates

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
        coalesce(
            session_items.currency <> 'USD'
            and session_items.session_date > last_list.published_date,
            false
        ) as awaits_exchange_rate
    from session_items
    cross join last_list
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
        awaits_exchange_rate,
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
