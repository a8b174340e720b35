with

orders as (

    select
        date_key,
        person_key,
        item_count,
        revenue_usd
    from {{ ref('fact_orders') }}

),

dates as (

    select
        date_key,
        cast({{ dbt.date_trunc('month', 'date') }} as date) as month_date
    from {{ ref('dim_date') }}

),

final as (

    select
        dates.month_date,
        sum(orders.revenue_usd) as revenue_usd,
        cast(sum(orders.item_count) as bigint) as item_count,
        count(*) as order_count,
        count(distinct orders.person_key) as buyer_count
    from orders
    inner join dates on orders.date_key = dates.date_key
    group by dates.month_date

)

select * from final
