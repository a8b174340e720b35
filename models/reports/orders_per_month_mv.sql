{{ config(materialized='materialized_view', additive=true) }}

with

orders as (

    select
        date_key,
        order_type,
        item_count,
        revenue_usd,
        days_to_next_order,
        months_to_next_order
    from {{ ref('fact_orders') }}

),

dates as (

    select
        date_key,
        first_day_of_month
    from {{ ref('dim_date') }}

),

-- Only the last order of a buyer in a month has its next order in another month, or
-- none. So counting such orders counts each buyer once.
final as (

    select
        dates.first_day_of_month as month_date,
        orders.order_type,
        sum(orders.revenue_usd) as revenue_usd,
        -- A sum of integers would have 128 bits.
        sum(cast(orders.item_count as decimal(18, 0))) as item_count,
        count(*) as order_count,
        count(case when coalesce(orders.months_to_next_order, 1) > 0 then 1 end)
            as buyer_count,
        count(case when orders.months_to_next_order = 1 then 1 end)
            as retained_so_far_count,
        count(
            case
                when
                    coalesce(orders.months_to_next_order, 1) > 0
                    and coalesce(orders.days_to_next_order > 90, true)
                    then 1
            end
        ) as churned_so_far_count
    from orders
    inner join dates on orders.date_key = dates.date_key
    group by dates.first_day_of_month, orders.order_type

)

select * from final
