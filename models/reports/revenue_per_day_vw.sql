with

order_items as (

    select
        date_key,
        _batch_id
    from {{ ref('fact_order_items') }}

),

orders as (

    select
        date_key,
        item_count,
        revenue_usd
    from {{ ref('fact_orders') }}

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
        sum(revenue_usd) as revenue_usd,
        cast(sum(item_count) as bigint) as item_count,
        count(*) as order_count
    from orders
    group by date_key

),

batches as (

    select
        date_key,
        {{ distinct_sorted_array('_batch_id') }} as batch_ids
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
        batches.batch_ids
    from daily
    inner join batches on daily.date_key = batches.date_key
    inner join dates on daily.date_key = dates.date_key

)

select * from final
