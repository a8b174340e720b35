{{ config(materialized='incremental') }}

with

candidates as (

    select candidates.*
    from {{ ref('int_song_candidates') }} as candidates
    {%- if is_incremental() %}
    anti join {{ this }} as recommendations
        on
            -- All rows of a user are of the same training and profile.
            recommendations.recommendation_rank = 1
            and candidates.buyer_key = recommendations.buyer_key
            and candidates.training_id = recommendations.training_id
            and candidates._profile_checksum = recommendations._profile_checksum
    {%- endif %}

),

best_sellers as (

    select
        work_key,
        song_key
    from {{ ref('int_best_sellers') }}
    where country_code is null

),

songs as (

    select
        best_sellers.work_key,
        songs.song_key,
        songs.artist_id,
        songs.song_title,
        songs.has_title,
        artists.artist_name
    from best_sellers
    inner join {{ ref('dim_songs') }} as songs
        on best_sellers.song_key = songs.song_key
    inner join {{ ref('dim_artists') }} as artists
        on songs.artist_key = artists.artist_key

),

final as (

    select
        candidates.buyer_key,
        cast(row_number() over (
            partition by candidates.buyer_key
            order by candidates.place, candidates.work_key
        ) as integer) as recommendation_rank,
        songs.song_key,
        owned_songs.song_key as reason_song_key,
        case
            when
                owned_songs.has_title and owned_songs.artist_id = songs.artist_id
                then format(
                    'More by {}, whose "{}" they own',
                    owned_songs.artist_name, owned_songs.song_title
                )
            when owned_songs.has_title
                then format(
                    'Bought by people who own "{}" by {}',
                    owned_songs.song_title, owned_songs.artist_name
                )
            when owned_songs.song_key is not null
                then 'Bought by people who own a song by ' || owned_songs.artist_name
            when candidates.country_name is not null
                then 'A best-seller in ' || candidates.country_name
            else 'A best-seller'
        end as reason,
        candidates.score,
        candidates.training_id,
        candidates._profile_checksum
    from candidates
    inner join songs on candidates.work_key = songs.work_key
    left join songs as owned_songs
        on candidates.reason_work_key = owned_songs.work_key
    qualify recommendation_rank <= 10

)

select * from final
