{{ config(unique_key='track_id') }}

with

songs as (

    select
        track_id,
        song_id,
        artist_id,
        artist_mbid,
        song_title,
        release,
        artist_name,
        duration,
        year,
        artist_familiarity,
        artist_hotness,
        _version_hash,
        _ingested_at,
        _batch_id
    from {{ cached_view(ref('stg_postgres__songs')) }}
    where rejection_reason is null and {{ is_new_batch('songs') }}

),

new_and_current_songs as (

    select * from songs
    {% if is_incremental() %}
        union all
        select *
        from {{ this }}
        where track_id in (select songs.track_id from songs)
    {% endif %}

),

songs_with_previous_hash as (

    select
        *,
        lag(_version_hash) over (
            partition by track_id order by _batch_id
        ) as previous_hash
    from new_and_current_songs

),

-- A song that is unchanged in a later extract is no new version.
versions as (

    select
        *,
        row_number() over (partition by track_id order by _batch_id desc) as recency
    from songs_with_previous_hash
    where _version_hash is distinct from previous_hash

),

final as (

    select
        track_id,
        song_id,
        artist_id,
        artist_mbid,
        song_title,
        release,
        artist_name,
        duration,
        year,
        artist_familiarity,
        artist_hotness,
        _version_hash,
        _ingested_at,
        _batch_id
    from versions
    where recency = 1

)

select * from final
