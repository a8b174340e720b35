with

order_items as (

    select
        date_key,
        session_id,
        price_usd,
        _batch_id
    from {{ ref('fact_order_items') }}

),

dates as (

    select
        date_key,
        date
    from {{ ref('dim_date') }}

),

daily as (

    select
        date_key,
        sum(price_usd) as revenue_usd,
        count(*) as item_count,
        count(distinct session_id) as order_count,
        {{ sorted_array('_batch_id') }} as batch_ids
    from order_items
    group by date_key

),

final as (

    select
        dates.date_key,
        dates.date,
        daily.revenue_usd,
        daily.item_count,
        daily.order_count,
        daily.batch_ids
    from daily
    inner join dates on daily.date_key = dates.date_key

)

select * from final
