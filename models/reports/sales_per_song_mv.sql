{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        song_key,
        price_usd
    from {{ ref('fact_order_items') }}

),

songs as (

    select
        song_key,
        artist_key,
        song_title
    from {{ ref('dim_songs') }}

),

artists as (

    select
        artist_key,
        artist_name
    from {{ ref('dim_artists') }}

),

final as (

    select
        order_items.song_key,
        songs.artist_key,
        songs.song_title,
        artists.artist_name,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join songs on order_items.song_key = songs.song_key
    inner join artists on songs.artist_key = artists.artist_key
    group by
        order_items.song_key, songs.artist_key, songs.song_title, artists.artist_name

)

select * from final
