with

songs as (

    select
        song_key,
        artist_key,
        release,
        is_inferred
    from {{ ref('dim_songs') }}

),

artists as (

    select
        artist_key,
        artist_name
    from {{ ref('dim_artists') }}

),

sales_per_song as (

    select
        song_key,
        revenue_usd,
        item_count
    from {{ ref('sales_per_song_mv') }}

),

releases as (

    select
        songs.artist_key,
        songs.release,
        sum(sales_per_song.revenue_usd) as revenue_usd,
        cast(sum(sales_per_song.item_count) as bigint) as item_count,
        count(case when not songs.is_inferred then 1 end) as track_count
    from songs
    left join sales_per_song on songs.song_key = sales_per_song.song_key
    group by songs.artist_key, songs.release

),

final as (

    select
        releases.artist_key,
        artists.artist_name,
        releases.release,
        releases.revenue_usd,
        releases.item_count,
        releases.track_count
    from releases
    inner join artists on releases.artist_key = artists.artist_key
    where releases.item_count > 0

)

select * from final
