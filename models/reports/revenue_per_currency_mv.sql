{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        date_key,
        currency,
        price,
        price_usd
    from {{ ref('fact_order_items') }}

),

dates as (

    select
        date_key,
        first_day_of_month
    from {{ ref('dim_date') }}

),

final as (

    select
        dates.first_day_of_month as month_date,
        order_items.currency,
        sum(order_items.price) as revenue,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join dates on order_items.date_key = dates.date_key
    group by dates.first_day_of_month, order_items.currency

)

select * from final
