{{
    config(
        unique_key='artist_key',
        post_hook=[
            "{% if is_new_batch('songs') | trim != 'false' %}"
            ~ "delete from {{ this }} where not is_inferred and artist_id not in ("
            ~ "select songs.artist_id from {{ ref('int_songs_latest') }} as songs"
            ~ " where songs.artist_id is not null){% endif %}",
        ],
    )
}}

with

listed as (

    select *
    from {{ ref('int_catalogue_artists') }}

),

songs_sold as (

    select
        artist_id,
        artist_name,
        _batch_id
    from {{ ref('int_songs_sold') }}
    where artist_id <> ''

),

sold as (

    select
        artist_id,
        min(artist_name) as artist_name
    from songs_sold
    {% if is_new_batch('songs') | trim == 'false' %}
        where
            artist_id in (
                select newly_sold.artist_id
                from songs_sold as newly_sold
                where {{ is_new_batch('sessions') }}
            )
    {% endif %}
    group by artist_id

),

members as (

    select
        coalesce(listed.artist_id, sold.artist_id) as artist_id,
        listed.artist_mbid,
        coalesce(listed.artist_name, sold.artist_name, 'Unknown') as artist_name,
        coalesce(listed.aliases, {{ text_array() }}) as aliases,
        listed.artist_familiarity,
        listed.artist_hotness,
        coalesce(listed.track_count, 0) as track_count,
        listed.artist_id is null as is_inferred
    from listed
    full outer join sold on listed.artist_id = sold.artist_id

),

final as (

    select
        {{ surrogate_key(['artist_id']) }} as artist_key,
        *
    from members

    union all

    -- No record has an empty id, so none is taken for the unknown member.
    select
        {{ unknown_member_key() }} as artist_key,
        '' as artist_id,
        null as artist_mbid,
        'Unknown' as artist_name,
        {{ text_array() }} as aliases,
        null as artist_familiarity,
        null as artist_hotness,
        0 as track_count,
        true as is_inferred

)

select * from final
