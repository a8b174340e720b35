{{ config(unique_key='artist_key') }}

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

changed_artists as (

    select distinct artist_id
    from songs
    where {{ is_new_batch('songs') }}

),

-- Every delivery counts, superseded or not, so that the result does not depend on
-- which of them a build saw first.
sellers as (

    select
        artist_id,
        min(artist_name) as artist_name
    from {{ ref('int_session_items_priced') }}
    where
        rejection_reason is null
        and artist_id is not null
        and {{ is_new_batch('sessions') }}
    group by artist_id

),

listed as (

    select *
    from songs
    where artist_id in (select changed_artists.artist_id from changed_artists)

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
        {{ sorted_array('artist_name', 'name_rank > 1') }} as aliases
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
        max(artist_hotness) as artist_hotness
    from listed
    group by artist_id

),

catalogued as (

    select
        measures.artist_id,
        mbids.artist_mbid,
        named.artist_name,
        coalesce(named.aliases, {{ empty_array() }}) as aliases,
        measures.artist_familiarity,
        measures.artist_hotness,
        false as is_inferred
    from measures
    left join named on measures.artist_id = named.artist_id
    left join mbids
        on measures.artist_id = mbids.artist_id and mbids.mbid_rank = 1

),

inferred as (

    select
        sellers.artist_id,
        {% if is_incremental() %}
            least(
                nullif(known.artist_name, 'Unknown'), sellers.artist_name
            ) as artist_name
        {% else %}
            sellers.artist_name
        {% endif %}
    from sellers
    {% if is_incremental() %}
        left join {{ this }} as known on sellers.artist_id = known.artist_id
    {% endif %}
    where sellers.artist_id not in (select songs.artist_id from songs)

),

members as (

    select * from catalogued

    union all

    select
        artist_id,
        null as artist_mbid,
        artist_name,
        {{ empty_array() }} as aliases,
        null as artist_familiarity,
        null as artist_hotness,
        true as is_inferred
    from inferred

),

final as (

    select
        {{ surrogate_key(['artist_id']) }} as artist_key,
        artist_id,
        artist_mbid,
        coalesce(artist_name, 'Unknown') as artist_name,
        aliases,
        artist_familiarity,
        artist_hotness,
        is_inferred
    from members

    union all

    select
        {{ unknown_key() }} as artist_key,
        'unknown' as artist_id,
        null as artist_mbid,
        'Unknown' as artist_name,
        {{ empty_array() }} as aliases,
        null as artist_familiarity,
        null as artist_hotness,
        true as is_inferred

)

select * from final
