with

artists as (

    select
        artist_key,
        artist_hotness,
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
        -- Bands of 0.2, numbered so that their limits are exact decimals.
        cast(floor(artists.artist_hotness * 5) as integer) as step,
        sales_per_artist.revenue_usd,
        coalesce(sales_per_artist.item_count, 0) as item_count,
        artists.track_count
    from artists
    left join sales_per_artist on artists.artist_key = sales_per_artist.artist_key

),

final as (

    select
        cast(step * 0.2 as decimal(2, 1)) as hotness,
        case
            when step is null then 'Unknown'
            else concat(
                cast(step * 0.2 as decimal(2, 1)),
                ' to ',
                cast(step * 0.2 + 0.2 as decimal(2, 1))
            )
        end as hotness_name,
        coalesce(sum(revenue_usd), 0) as revenue_usd,
        cast(sum(item_count) as bigint) as item_count,
        cast(sum(track_count) as bigint) as track_count
    from banded
    group by step

)

select * from final
