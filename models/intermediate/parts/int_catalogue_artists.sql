with

newly_sold_artists as (

    select artist_id
    from {{ ref('int_songs_sold') }}
    where {{ is_new_batch('sessions') }}

),

songs as (

    select
        artist_id,
        artist_mbid,
        artist_name,
        artist_familiarity,
        artist_hotness
    from {{ ref('int_songs_latest') }}
    where
        artist_id is not null
        -- An extract is the whole catalogue, so a new one may change any artist.
        and (
            {{ has_new_batch('songs') | lower }}
            or artist_id in (
                select newly_sold_artists.artist_id from newly_sold_artists
            )
        )

),

ranked_names as (

    select
        artist_id,
        artist_name,
        row_number() over (
            partition by artist_id
            order by count(*) desc, length(artist_name), artist_name
        ) as name_rank
    from songs
    where coalesce(artist_name, '') <> ''
    group by artist_id, artist_name

),

artist_names as (

    select
        artist_id,
        min(case when name_rank = 1 then artist_name end) as artist_name,
        {{ distinct_sorted_array('artist_name', 'name_rank > 1') }} as aliases
    from ranked_names
    group by artist_id

),

ranked_mbids as (

    select
        artist_id,
        artist_mbid,
        row_number() over (
            partition by artist_id order by count(*) desc, artist_mbid
        ) as mbid_rank
    from songs
    where coalesce(artist_mbid, '') <> ''
    group by artist_id, artist_mbid

),

measures as (

    select
        artist_id,
        max(artist_familiarity) as artist_familiarity,
        max(artist_hotness) as artist_hotness,
        cast(count(*) as integer) as track_count
    from songs
    group by artist_id

),

final as (

    select
        measures.artist_id,
        ranked_mbids.artist_mbid,
        artist_names.artist_name,
        artist_names.aliases,
        measures.artist_familiarity,
        measures.artist_hotness,
        measures.track_count
    from measures
    left join artist_names on measures.artist_id = artist_names.artist_id
    left join ranked_mbids
        on measures.artist_id = ranked_mbids.artist_id and ranked_mbids.mbid_rank = 1

)

select * from final
