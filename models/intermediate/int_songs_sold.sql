{{ config(unique_key=['song_id', 'artist_id']) }}

with

session_items as (

    select
        song_id,
        coalesce(artist_id, '') as artist_id,
        song_name as song_title,
        nullif(artist_name, '') as artist_name,
        _batch_id
    from {{ cached_view(ref('stg_api__session_items')) }}
    where rejection_reason is null and {{ is_new_batch('sessions') }}

),

new_and_known_songs as (

    select * from session_items
    {% if is_incremental() %}
        union all
        select *
        from {{ this }}
        where song_id in (select session_items.song_id from session_items)
    {% endif %}

),

final as (

    select
        song_id,
        artist_id,
        min(song_title) as song_title,
        min(artist_name) as artist_name,
        max(_batch_id) as _batch_id
    from new_and_known_songs
    group by song_id, artist_id

)

select * from final
