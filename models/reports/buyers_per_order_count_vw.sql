with

buyers as (

    select
        person_key,
        count(*) as order_count,
        sum(revenue_usd) as revenue_usd
    from {{ ref('fact_orders') }}
    group by person_key

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
