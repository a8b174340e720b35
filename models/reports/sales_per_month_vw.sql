with

order_items as (

    select
        date_key,
        buyer_key,
        session_id,
        price_usd
    from {{ ref('fact_order_items') }}

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
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count,
        count(distinct order_items.session_id) as order_count,
        count(distinct order_items.buyer_key) as buyer_count
    from order_items
    inner join dates on order_items.date_key = dates.date_key
    group by dates.month_date

)

select * from final
