with

order_items as (

    select
        buyer_key,
        session_id,
        price_usd
    from {{ ref('fact_order_items') }}

),

buyers as (

    select
        buyer_key,
        count(distinct session_id) as order_count,
        sum(price_usd) as revenue_usd
    from order_items
    group by buyer_key

),

final as (

    select
        order_count,
        count(*) as buyer_count,
        sum(revenue_usd) as revenue_usd
    from buyers
    group by order_count

)

select * from final
