with

artists as (

    select
        artist_key,
        hotness_band,
        track_count
    from {{ ref('dim_artists') }}

),

sales_per_artist as (

    select
        artist_key,
        sum(revenue_usd) as revenue_usd,
        sum(item_count) as item_count
    from {{ ref('sales_per_artist_mv') }}
    group by artist_key

),

banded as (

    select
        artists.hotness_band,
        sales_per_artist.revenue_usd,
        coalesce(sales_per_artist.item_count, 0) as item_count,
        artists.track_count
    from artists
    left join sales_per_artist on artists.artist_key = sales_per_artist.artist_key

),

final as (

    select
        -- The band begins with its lower end.
        {{ dbt.safe_cast('left(hotness_band, 3)', 'decimal(2, 1)') }} as hotness,
        hotness_band as hotness_name,
        coalesce(sum(revenue_usd), 0) as revenue_usd,
        cast(sum(item_count) as bigint) as item_count,
        cast(sum(track_count) as bigint) as track_count
    from banded
    group by hotness_band

)

select * from final
