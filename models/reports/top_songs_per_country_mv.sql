{{ config(materialized='materialized_view') }}

with

order_items as (

    select
        song_key,
        user_key,
        price_usd
    from {{ ref('fact_order_items') }}

),

users as (

    select
        user_key,
        country_code,
        country_name
    from {{ ref('dim_users') }}

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

sales as (

    select
        order_items.song_key,
        users.country_code,
        users.country_name,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join users on order_items.user_key = users.user_key
    group by order_items.song_key, users.country_code, users.country_name

),

-- The key decides between songs that earned the same.
ranked as (

    select
        *,
        cast(row_number() over (
            partition by country_code, country_name
            order by revenue_usd desc, song_key
        ) as integer) as song_rank
    from sales

),

final as (

    select
        ranked.song_key,
        ranked.country_code,
        ranked.country_name,
        songs.song_title,
        artists.artist_name,
        ranked.song_rank,
        ranked.revenue_usd,
        ranked.item_count
    from ranked
    inner join songs on ranked.song_key = songs.song_key
    inner join artists on songs.artist_key = artists.artist_key
    where ranked.song_rank <= 10

)

select * from final
