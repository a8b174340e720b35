with

songs as (

    select
        song_key,
        duration_band,
        is_inferred
    from {{ ref('dim_songs') }}

),

sales_per_song as (

    select
        song_key,
        revenue_usd,
        item_count
    from {{ ref('sales_per_song_mv') }}

),

banded as (

    select
        songs.duration_band,
        sales_per_song.revenue_usd,
        coalesce(sales_per_song.item_count, 0) as item_count,
        case when songs.is_inferred then 0 else 1 end as track_count
    from songs
    left join sales_per_song on songs.song_key = sales_per_song.song_key

),

final as (

    select
        -- The band begins with its lower end.
        {{ dbt.safe_cast('left(duration_band, 1)', 'integer') }} as minutes,
        duration_band as minutes_name,
        coalesce(sum(revenue_usd), 0) as revenue_usd,
        cast(sum(item_count) as bigint) as item_count,
        cast(sum(track_count) as bigint) as track_count
    from banded
    group by duration_band

)

select * from final
