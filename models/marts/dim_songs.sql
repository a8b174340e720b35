{{ config(unique_key='song_key') }}

with

songs as (

    select *
    from {{ ref('int_songs_latest') }}

),

songs_sold as (

    select *
    from {{ ref('int_songs_sold') }}

),

-- A catalogue is landed whole: when it is new, all songs are looked at, for a song that
-- was sold may be another track's now.
changed as (

    {% if is_new_batch('songs') | trim == 'false' %}
        select distinct song_id as track_id
        from songs_sold
        where {{ is_new_batch('sessions') }}
    {% else %}
        select track_id from songs
        union
        select song_id as track_id from songs_sold
    {% endif %}

),

sold as (

    select
        song_id as track_id,
        min(nullif(artist_id, '')) as artist_id,
        min(song_title) as song_title
    from songs_sold
    where song_id in (select changed.track_id from changed)
    group by song_id

),

-- A song_id may stand on several tracks.
first_tracks as (

    select
        song_id,
        min(track_id) as track_id
    from songs
    where song_id in (select changed.track_id from changed)
    group by song_id

),

members as (

    select
        changed.track_id,
        listed.song_id,
        coalesce(listed.artist_id, sold.artist_id) as artist_id,
        case
            when listed.track_id is null then sold.song_title else listed.song_title
        end as song_title,
        listed.release,
        listed.duration,
        listed.year,
        listed.track_id is null as is_inferred
    from changed
    left join songs as by_track on changed.track_id = by_track.track_id
    left join first_tracks on changed.track_id = first_tracks.song_id
    left join songs as listed
        on coalesce(by_track.track_id, first_tracks.track_id) = listed.track_id
    left join sold on changed.track_id = sold.track_id

),

final as (

    select
        {{ surrogate_key(['track_id']) }} as song_key,
        case
            when artist_id is null then {{ unknown_member_key() }}
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

    -- No record has an empty id, so none is taken for the unknown member.
    select
        {{ unknown_member_key() }} as song_key,
        {{ unknown_member_key() }} as artist_key,
        '' as track_id,
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
