{{ config(unique_key='song_key') }}

with

songs as (

    select
        track_id,
        song_id,
        artist_id,
        song_title,
        release,
        duration,
        year,
        _batch_id
    from {{ ref('int_songs_latest') }}

),

changed_songs as (

    select
        track_id,
        song_id
    from songs
    where {{ is_new_batch('songs') }}

),

-- Every delivery counts, superseded or not, so that the result does not depend on
-- which of them a build saw first.
purchases as (

    select
        song_id as track_id,
        min(artist_id) as artist_id,
        min(song_name) as song_title
    from {{ ref('int_session_items_priced') }}
    where rejection_reason is null and {{ is_new_batch('sessions') }}
    group by song_id

),

candidates as (

    select
        track_id,
        null as artist_id,
        null as song_title
    from changed_songs

    union all

    select
        track_id,
        artist_id,
        song_title
    from purchases

    {% if is_incremental() %}
        -- Sold under an id that the catalogue lacked, or knows as a song_id.
        union all

        select
            track_id,
            case when is_inferred then artist_id end as artist_id,
            case when is_inferred then song_title end as song_title
        from {{ this }}
        where
            (
                is_inferred
                and track_id in (select purchases.track_id from purchases)
            )
            or track_id in (select changed_songs.song_id from changed_songs)
    {% endif %}

),

identified as (

    select
        track_id,
        min(artist_id) as artist_id,
        min(song_title) as song_title
    from candidates
    group by track_id

),

-- A song_id may stand on several tracks.
first_tracks as (

    select
        song_id,
        min(track_id) as track_id
    from songs
    group by song_id

),

matched as (

    select
        identified.track_id,
        identified.artist_id,
        identified.song_title,
        coalesce(by_track.track_id, first_tracks.track_id) as catalogue_track_id
    from identified
    left join songs as by_track on identified.track_id = by_track.track_id
    left join first_tracks on identified.track_id = first_tracks.song_id

),

members as (

    select
        matched.track_id,
        songs.song_id,
        coalesce(songs.artist_id, matched.artist_id) as artist_id,
        case
            when songs.track_id is null then matched.song_title else songs.song_title
        end as song_title,
        songs.release,
        songs.duration,
        songs.year,
        songs.track_id is null as is_inferred
    from matched
    left join songs on matched.catalogue_track_id = songs.track_id

),

final as (

    select
        {{ surrogate_key(['track_id']) }} as song_key,
        case
            when artist_id is null then {{ unknown_key() }}
            else {{ surrogate_key(['artist_id']) }}
        end as artist_key,
        track_id,
        song_id,
        artist_id,
        song_title,
        release,
        duration,
        year,
        coalesce(song_title, '') <> '' as has_title,
        year is not null as has_year,
        is_inferred
    from members

    union all

    select
        {{ unknown_key() }} as song_key,
        {{ unknown_key() }} as artist_key,
        'unknown' as track_id,
        null as song_id,
        null as artist_id,
        'Unknown' as song_title,
        null as release,
        null as duration,
        null as year,
        false as has_title,
        false as has_year,
        true as is_inferred

)

select * from final
