with

similar_songs as (

    select
        owned_song_key,
        owned_artist_key,
        song_key,
        similarity
    from {{ ref('ml_similar_songs') }}

),

works as (

    select
        song_key,
        work_key
    from {{ ref('int_works') }}

),

final as (

    select
        coalesce(owned_works.work_key, hash(similar_songs.owned_artist_key))
            as item_key,
        works.work_key,
        similar_songs.similarity,
        similar_songs.owned_artist_key is not null as is_artist
    from similar_songs
    inner join works on similar_songs.song_key = works.song_key
    left join works as owned_works
        on similar_songs.owned_song_key = owned_works.song_key

)

select * from final
