with

expected_artists as (

    select artist_id
    from {{ ref('int_songs_latest') }}
    where artist_id is not null

    union

    select artist_id
    from {{ ref('int_songs_sold') }}
    where artist_id <> ''

),

artists as (

    select
        artist_id,
        count(*) as artist_count
    from {{ ref('dim_artists') }}
    group by artist_id

),

final as (

    select
        coalesce(expected_artists.artist_id, artists.artist_id) as artist_id,
        coalesce(artists.artist_count, 0) as artist_count
    from expected_artists
    full outer join artists on expected_artists.artist_id = artists.artist_id

)

select * from final
where artist_count <> 1
