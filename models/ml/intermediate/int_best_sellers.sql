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

-- Ranked by items sold: an order by revenue would reveal prices.
country_songs as (

    select
        song_key,
        country_code,
        country_name,
        row_number() over (
            partition by country_code order by item_count desc, song_key
        ) as sales_rank
    from {{ ref('top_songs_per_country_mv') }}

),

country_works as (

    select
        country_songs.country_code,
        works.work_key,
        min(country_songs.sales_rank) as sales_rank,
        any_value(country_songs.country_name) as country_name
    from country_songs
    inner join works on country_songs.song_key = works.song_key
    where country_songs.country_code is not null
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
