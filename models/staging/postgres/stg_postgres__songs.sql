{{ config(tags=['rejection_rules', 'cached']) }}

with

songs as (

    select
        track_id,
        title,
        song_id,
        release,
        artist_id,
        artist_mbid,
        artist_name,
        duration,
        artist_familiarity,
        artist_hotttnesss,
        year,
        track_7digitalid,
        shs_perf,
        shs_work,
        _rescued,
        _payload,
        cast(_ingested_at as timestamp) as _ingested_at,
        _source,
        _batch_id
    from {{ source('postgres', 'songs') }}

),

typed_songs as (

    select
        track_id,
        song_id,
        nullif(artist_id, '') as artist_id,
        artist_mbid,
        title as song_title,
        release,
        artist_name,
        -- Impossible values become null: 0, NaN, a year before the first recording.
        case when duration between 0 and 86400 then duration end as duration,
        case when year between 1860 and 2100 then year end as year,
        case
            when artist_familiarity > 0 and artist_familiarity <= 1
                then artist_familiarity
        end as artist_familiarity,
        case
            when artist_hotttnesss > 0 and artist_hotttnesss <= 2 then artist_hotttnesss
        end as artist_hotness,
        track_7digitalid,
        shs_perf,
        shs_work,
        {{ surrogate_key([
            'title', 'song_id', 'release', 'artist_id', 'artist_mbid', 'artist_name',
            'duration', 'artist_familiarity', 'artist_hotttnesss', 'year',
            'track_7digitalid', 'shs_perf', 'shs_work', '_rescued',
        ]) }} as _version_hash,
        _rescued,
        _payload,
        _ingested_at,
        _source,
        _batch_id,
        {{ json_object_text([
            'track_id', 'title', 'song_id', 'release', 'artist_id', 'artist_mbid',
            'artist_name', 'duration', 'artist_familiarity', 'artist_hotttnesss',
            'year', 'track_7digitalid', 'shs_perf', 'shs_work', '_rescued',
        ], floats=['duration', 'artist_familiarity', 'artist_hotttnesss'])
        }} as _delivered
    from songs

),

validated_songs as (

    select
        *,
        case
            {{ malformed_record_cases('_payload', ['track_id']) }}
            when coalesce(track_id, '') = '' then 'missing_key'
        end as rejection_reason
    from typed_songs

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
        case
            when ({{ conflicts_with_duplicate('track_id', '_version_hash') }})
                then 'contradicting_twin'
            else rejection_reason
        end as rejection_reason,
        duration,
        year,
        artist_familiarity,
        artist_hotness,
        track_7digitalid,
        shs_perf,
        shs_work,
        _version_hash,
        _rescued,
        coalesce(_payload, _delivered) as _payload,
        _ingested_at,
        _source,
        _batch_id
    from validated_songs

)

select * from final
