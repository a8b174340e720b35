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

songs as (

    select
        artist_id,
        artist_mbid,
        artist_name,
        artist_familiarity,
        artist_hotness,
        _batch_id
    from {{ ref('int_songs_latest') }}
    where artist_id is not null

),

songs_sold as (

    select
        artist_id,
        artist_name,
        _batch_id
    from {{ ref('int_songs_sold') }}
    where artist_id <> ''

),

changed as (

    select artist_id
    from songs
    where {{ is_new_batch('songs') }}

    union

    select artist_id
    from songs_sold
    where {{ is_new_batch('sessions') }}

    {% if is_incremental() and is_new_batch('songs') | trim != 'false' %}
        -- Whose song is another's now.
        union

        select held.artist_id
        from {{ this }} as held
        left join songs on held.artist_id = songs.artist_id
        group by held.artist_id, held.track_count
        having held.track_count <> count(songs.artist_id)
    {% endif %}

),

sold as (

    select
        artist_id,
        min(artist_name) as artist_name
    from songs_sold
    where artist_id in (select changed.artist_id from changed)
    group by artist_id

),

listed as (

    select *
    from songs
    where artist_id in (select changed.artist_id from changed)

),

names as (

    select
        artist_id,
        artist_name,
        row_number() over (
            partition by artist_id
            order by count(*) desc, length(artist_name), artist_name
        ) as name_rank
    from listed
    where coalesce(artist_name, '') <> ''
    group by artist_id, artist_name

),

named as (

    select
        artist_id,
        min(case when name_rank = 1 then artist_name end) as artist_name,
        {{ distinct_sorted_array('artist_name', 'name_rank > 1') }} as aliases
    from names
    group by artist_id

),

mbids as (

    select
        artist_id,
        artist_mbid,
        row_number() over (
            partition by artist_id order by count(*) desc, artist_mbid
        ) as mbid_rank
    from listed
    where coalesce(artist_mbid, '') <> ''
    group by artist_id, artist_mbid

),

measures as (

    select
        artist_id,
        max(artist_familiarity) as artist_familiarity,
        max(artist_hotness) as artist_hotness,
        cast(count(*) as integer) as track_count
    from listed
    group by artist_id

),

final as (

    select
        {{ surrogate_key(['changed.artist_id']) }} as artist_key,
        changed.artist_id,
        mbids.artist_mbid,
        coalesce(named.artist_name, sold.artist_name, 'Unknown') as artist_name,
        coalesce(named.aliases, {{ text_array() }}) as aliases,
        measures.artist_familiarity,
        measures.artist_hotness,
        coalesce(measures.track_count, 0) as track_count,
        measures.artist_id is null as is_inferred
    from changed
    left join measures on changed.artist_id = measures.artist_id
    left join named on changed.artist_id = named.artist_id
    left join mbids
        on changed.artist_id = mbids.artist_id and mbids.mbid_rank = 1
    left join sold on changed.artist_id = sold.artist_id
    where measures.artist_id is not null or sold.artist_id is not null

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
