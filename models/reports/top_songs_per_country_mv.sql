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
        country_name,
        -- Grouping by a number is quicker than by two texts.
        cast(dense_rank() over (
            order by country_code, country_name
        ) as integer) as country_number
    from {{ ref('dim_users') }}

),

countries as (

    select distinct
        country_number,
        country_code,
        country_name
    from users

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
        users.country_number,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join users on order_items.user_key = users.user_key
    group by order_items.song_key, users.country_number

),

-- The key decides between songs with the same revenue. With one value to order by, the
-- engine keeps the first ten of each country instead of sorting all songs.
candidates as (

    select
        *,
        row_number() over (
            partition by country_number order by (-revenue_usd, song_key)
        ) as candidate_rank
    from sales

),

ranked as (

    select
        *,
        cast(row_number() over (
            partition by country_number order by revenue_usd desc, song_key
        ) as integer) as song_rank
    from candidates
    where candidate_rank <= 10

),

final as (

    select
        ranked.song_key,
        countries.country_code,
        countries.country_name,
        songs.song_title,
        artists.artist_name,
        ranked.song_rank,
        ranked.revenue_usd,
        ranked.item_count
    from ranked
    inner join countries on ranked.country_number = countries.country_number
    inner join songs on ranked.song_key = songs.song_key
    inner join artists on songs.artist_key = artists.artist_key

)

select * from final
