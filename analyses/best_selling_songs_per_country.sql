-- Which three songs earned most in each country, and who sings them?
with

order_items as (

    select
        song_key,
        user_key,
        artist_key,
        price_usd
    from {{ ref('fact_order_items') }}

),

songs as (

    select
        song_key,
        song_title
    from {{ ref('dim_songs') }}

),

artists as (

    select
        artist_key,
        artist_name
    from {{ ref('dim_artists') }}

),

users as (

    select
        user_key,
        country_name
    from {{ ref('dim_users') }}

),

sales as (

    select
        users.country_name,
        order_items.song_key,
        order_items.artist_key,
        sum(order_items.price_usd) as revenue_usd
    from order_items
    inner join users on order_items.user_key = users.user_key
    group by users.country_name, order_items.song_key, order_items.artist_key

),

ranked as (

    select
        *,
        row_number() over (
            partition by country_name order by revenue_usd desc, song_key
        ) as song_rank
    from sales

),

final as (

    select
        ranked.country_name,
        ranked.song_rank,
        songs.song_title,
        artists.artist_name,
        ranked.revenue_usd
    from ranked
    inner join songs on ranked.song_key = songs.song_key
    inner join artists on ranked.artist_key = artists.artist_key
    where ranked.song_rank <= 3

)

select * from final
order by country_name, song_rank
