with

songs as (

    select
        song_key,
        artist_key,
        artist_id,
        song_title,
        has_title
    from {{ ref('dim_songs') }}

),

final as (

    select
        song_key,
        case when artist_id is not null then artist_key end as artist_key,
        case
            when has_title and artist_id is not null
                then hash(artist_key, lower(song_title))
            else hash(song_key)
        end as work_key
    from songs

)

select * from final
