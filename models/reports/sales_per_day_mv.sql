{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        date_key,
        price_usd
    from {{ ref('fact_order_items') }}

),

dates as (

    select
        date_key,
        date
    from {{ ref('dim_date') }}

),

final as (

    select
        order_items.date_key,
        dates.date,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join dates on order_items.date_key = dates.date_key
    group by order_items.date_key, dates.date

)

select * from final
