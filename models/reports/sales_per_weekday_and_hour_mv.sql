{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        price_usd,
        local_day_of_week,
        local_hour
    from {{ ref('fact_order_items') }}
    -- Without a time zone, the local time is only a guess.
    where has_known_timezone

),

final as (

    select
        local_day_of_week,
        local_hour,
        sum(price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    group by local_day_of_week, local_hour

)

select * from final
