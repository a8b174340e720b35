{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        artist_key,
        date_key,
        price_usd
    from {{ ref('fact_order_items') }}

),

artists as (

    select
        artist_key,
        artist_name
    from {{ ref('dim_artists') }}

),

dates as (

    select
        date_key,
        year
    from {{ ref('dim_date') }}

),

final as (

    select
        order_items.artist_key,
        artists.artist_name,
        dates.year,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join artists on order_items.artist_key = artists.artist_key
    inner join dates on order_items.date_key = dates.date_key
    group by order_items.artist_key, artists.artist_name, dates.year

)

select * from final
