with

orders as (

    select
        month_date,
        revenue_usd,
        item_count,
        order_count,
        buyer_count
    from {{ ref('orders_per_month_mv') }}

),

landed_months as (

    select
        month_date,
        is_complete
    from {{ ref('landed_months') }}

),

monthly as (

    select
        month_date,
        sum(revenue_usd) as revenue_usd,
        cast(sum(item_count) as bigint) as item_count,
        cast(sum(order_count) as bigint) as order_count,
        cast(sum(buyer_count) as bigint) as buyer_count
    from orders
    group by month_date

),

final as (

    select
        monthly.month_date,
        monthly.revenue_usd,
        monthly.item_count,
        monthly.order_count,
        monthly.buyer_count,
        coalesce(landed_months.is_complete, false) as is_complete
    from monthly
    left join landed_months on monthly.month_date = landed_months.month_date

)

select * from final
