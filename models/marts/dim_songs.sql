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
        select distinct song_id as track_id
        from songs_sold
        where {{ is_new_batch('sessions') }}
    {% else %}
        select track_id from songs
        union
        select song_id as track_id from songs_sold
    {% endif %}

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
            when listed.track_id is null then sold_songs.song_title
            else listed.song_title
        end as song_title,
        listed.release,
        listed.duration,
        listed.year,
        listed.track_id is null as is_inferred
    from changed_songs
    left join songs as same_id on changed_songs.track_id = same_id.track_id
    left join first_tracks on changed_songs.track_id = first_tracks.song_id
    left join songs as listed
        on coalesce(same_id.track_id, first_tracks.track_id) = listed.track_id
    left join sold_songs on changed_songs.track_id = sold_songs.track_id

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

    -- The unknown member. Its id is empty, which no record's id is.
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
