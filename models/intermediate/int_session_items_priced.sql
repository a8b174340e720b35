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
        usd_per_unit,
        is_provisional,
        published_date
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
        case
            when session_items.currency = 'USD' then cast(1 as decimal(18, 12))
            else exchange_rates.usd_per_unit
        end as usd_per_unit,
        case
            when session_items.currency <> 'USD' then exchange_rates.published_date
        end as rate_published_date,
        session_items.currency <> 'USD'
        and coalesce(exchange_rates.is_provisional, false) as is_rate_provisional,
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
            when usd_per_unit is null then 'no_exchange_rate'
            when price_usd is null or price_usd > {{ var('highest_price_usd') }}
                then 'absurd_price'
        end as rejection_reason,
        item_number,
        price,
        price_usd,
        usd_per_unit,
        is_rate_provisional,
        liked,
        rate_date,
        rate_published_date,
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
