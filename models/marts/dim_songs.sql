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

-- An extract is the whole catalogue: in a new one, a song_id may have another track.
changed_songs as (

    {% if not has_new_batch('songs') %}
        select song_id as track_id
        from songs_sold
        where {{ is_new_batch('sessions') }}
    {% else %}
        select track_id from songs
        union
        select song_id as track_id from songs_sold
    {% endif %}
    union
    -- The unknown member. Its id is empty, which no purchase's id is.
    select '' as track_id

),

sold_songs as (

    select
        song_id as track_id,
        min(nullif(artist_id, '')) as artist_id,
        min(song_title) as song_title
    from songs_sold
    where song_id in (select changed_songs.track_id from changed_songs)
    group by song_id

),

-- Several tracks may have the same song_id.
first_tracks as (

    select
        song_id,
        min(track_id) as track_id
    from songs
    where song_id in (select changed_songs.track_id from changed_songs)
    group by song_id

),

members as (

    select
        changed_songs.track_id,
        listed.song_id,
        coalesce(listed.artist_id, sold_songs.artist_id) as artist_id,
        case
            when changed_songs.track_id = '' then 'Unknown'
            when listed.track_id is null then sold_songs.song_title
            else listed.song_title
        end as song_title,
        listed.release,
        listed.duration,
        cast(floor(listed.duration / 60) as integer) as minutes,
        listed.year,
        listed.track_id is null as is_inferred
    from changed_songs
    left join songs as same_id on changed_songs.track_id = same_id.track_id
    left join first_tracks
        on changed_songs.track_id = first_tracks.song_id and first_tracks.song_id <> ''
    left join songs as listed
        on coalesce(same_id.track_id, first_tracks.track_id) = listed.track_id
    left join sold_songs on changed_songs.track_id = sold_songs.track_id

),

final as (

    select
        case
            when track_id = '' then {{ unknown_member_key() }}
            else {{ surrogate_key(['track_id']) }}
        end as song_key,
        case
            when artist_id is null then {{ unknown_member_key() }}
            else {{ surrogate_key(['artist_id']) }}
        end as artist_key,
        track_id,
        song_id,
        artist_id,
        song_title,
        release,
        case
            when minutes is null then 'Unknown'
            -- One band for eight minutes and more, because such songs are few.
            when minutes >= 8 then '8 or more'
            else concat(minutes, ' to ', minutes + 1)
        end as duration_band,
        duration,
        year,
        cast(floor(year / 10) * 10 as integer) as decade,
        track_id <> '' and coalesce(song_title, '') <> '' as has_title,
        year is not null as has_year,
        is_inferred
    from members

)

select * from final
