with

works as (

    select
        song_key,
        work_key
    from {{ ref('int_works') }}

),

sold_works as (

    select
        works.work_key,
        arg_max(works.song_key, (sales.item_count, works.song_key)) as song_key,
        row_number() over (
            order by sum(sales.item_count) desc, works.work_key
        ) as sales_rank
    from {{ ref('sales_per_song_mv') }} as sales
    inner join works on sales.song_key = works.song_key
    group by works.work_key

),

top_songs as (

    select
        song_key,
        country_code,
        country_name,
        item_count
    from {{ ref('top_songs_per_country_mv') }}

),

order_items as (

    select
        song_key,
        user_key,
        person_key
    from {{ ref('fact_order_items') }}

),

-- What hardly anybody bought is no best-seller, and would tell of these few.
group_songs as (

    select
        order_items.song_key,
        buyers.country_code
    from order_items
    inner join {{ ref('dim_users') }} as buyers
        on order_items.user_key = buyers.user_key
    where order_items.song_key in (select top_songs.song_key from top_songs)
    group by order_items.song_key, buyers.country_code
    having count(distinct order_items.person_key) >= {{ var('least_group_size') }}

),

-- Ranked by items sold: an order by revenue would reveal prices.
country_songs as (

    select
        top_songs.song_key,
        top_songs.country_code,
        top_songs.country_name,
        row_number() over (
            partition by top_songs.country_code
            order by top_songs.item_count desc, top_songs.song_key
        ) as sales_rank
    from top_songs
    inner join group_songs
        on
            top_songs.song_key = group_songs.song_key
            and top_songs.country_code = group_songs.country_code

),

country_works as (

    select
        country_songs.country_code,
        works.work_key,
        min(country_songs.sales_rank) as sales_rank,
        any_value(country_songs.country_name) as country_name
    from country_songs
    inner join works on country_songs.song_key = works.song_key
    group by country_songs.country_code, works.work_key

),

final as (

    select
        sold_works.work_key,
        sold_works.song_key,
        country_works.country_code,
        country_works.country_name,
        country_works.sales_rank
    from country_works
    inner join sold_works on country_works.work_key = sold_works.work_key

    union all

    select
        work_key,
        song_key,
        null as country_code,
        null as country_name,
        sales_rank
    from sold_works

)

select * from final
