with

orders as (

    select
        month_date,
        order_type,
        revenue_usd,
        order_count
    from {{ ref('orders_per_month_mv') }}

),

landed_months as (

    select
        month_date,
        is_first_month,
        is_complete
    from {{ ref('landed_months') }}

),

monthly as (

    select
        orders.month_date,
        case
            when landed_months.is_first_month then 'unknown'
            else orders.order_type
        end as order_type,
        orders.revenue_usd,
        orders.order_count,
        coalesce(landed_months.is_complete, false) as is_complete
    from orders
    left join landed_months on orders.month_date = landed_months.month_date

),

final as (

    select
        month_date,
        order_type,
        sum(revenue_usd) as revenue_usd,
        cast(sum(order_count) as bigint) as order_count,
        is_complete
    from monthly
    group by month_date, order_type, is_complete

)

select * from final
