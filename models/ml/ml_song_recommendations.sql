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
            and candidates.person_key = recommendations.person_key
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

artists as (

    select
        artist_key,
        artist_id,
        artist_name
    from {{ ref('dim_artists') }}

),

songs as (

    select
        best_sellers.work_key,
        songs.song_key,
        songs.artist_id,
        artists.artist_name,
        -- The title in quotes, if there is anything to see between them.
        case
            when
                songs.has_title
                and regexp_matches(songs.song_title, '[^\s\p{C}\p{Z}]')
                then '"' || songs.song_title || '"'
        end as quoted_title
    from best_sellers
    inner join {{ ref('dim_songs') }} as songs
        on best_sellers.song_key = songs.song_key
    inner join artists on songs.artist_key = artists.artist_key

),

reasoned_songs as (

    select
        candidates.*,
        songs.song_key,
        owned_songs.song_key as reason_song_key,
        case
            when
                owned_songs.quoted_title is not null
                and owned_songs.artist_id = songs.artist_id
                then format(
                    'More by {}, whose {} they own',
                    owned_songs.artist_name, owned_songs.quoted_title
                )
            when owned_songs.quoted_title is not null
                then format(
                    'Bought by people who own {} by {}',
                    owned_songs.quoted_title, owned_songs.artist_name
                )
            when owned_songs.song_key is not null
                then 'Bought by people who own a song by ' || owned_songs.artist_name
            when owned_artists.artist_id = songs.artist_id
                then format(
                    'More by {}, whose songs they own', owned_artists.artist_name
                )
            when owned_artists.artist_key is not null
                then 'Bought by people who own songs by ' || owned_artists.artist_name
            when candidates.country_name is not null
                then 'A best-seller in ' || candidates.country_name
            else 'A best-seller'
        end as reason
    from candidates
    inner join songs on candidates.work_key = songs.work_key
    left join songs as owned_songs
        on candidates.reason_item_key = owned_songs.work_key
    left join artists as owned_artists
        on candidates.reason_item_key = hash(owned_artists.artist_key)

),

final as (

    select
        person_key,
        cast(row_number() over (
            partition by person_key order by place, work_key
        ) as integer) as recommendation_rank,
        song_key,
        reason_song_key,
        reason,
        score,
        training_id,
        _profile_checksum
    from reasoned_songs
    qualify recommendation_rank <= 10

)

select * from final
