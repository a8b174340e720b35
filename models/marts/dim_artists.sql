{{
    config(
        unique_key='artist_key',
        post_hook=[
            "{% if has_new_batch('songs') %}"
            ~ "delete from {{ this }} as loaded_rows where not is_inferred"
            ~ " and not exists (select * from {{ ref('int_songs_latest') }} as songs"
            ~ " where songs.artist_id = loaded_rows.artist_id){% endif %}",
        ],
    )
}}

with

catalogue_artists as (

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

sold_artists as (

    select
        artist_id,
        min(artist_name) as artist_name
    from songs_sold
    {% if not has_new_batch('songs') %}
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
        coalesce(catalogue_artists.artist_id, sold_artists.artist_id) as artist_id,
        catalogue_artists.artist_mbid,
        coalesce(
            catalogue_artists.artist_name, sold_artists.artist_name, 'Unknown'
        ) as artist_name,
        coalesce(catalogue_artists.aliases, {{ text_array() }}) as aliases,
        catalogue_artists.artist_familiarity,
        catalogue_artists.artist_hotness,
        coalesce(catalogue_artists.track_count, 0) as track_count,
        catalogue_artists.artist_id is null as is_inferred
    from catalogue_artists
    full outer join sold_artists
        on catalogue_artists.artist_id = sold_artists.artist_id

    union all

    -- The unknown member. Its id is empty, which no record's id is.
    select
        '' as artist_id,
        null as artist_mbid,
        'Unknown' as artist_name,
        {{ text_array() }} as aliases,
        null as artist_familiarity,
        null as artist_hotness,
        0 as track_count,
        true as is_inferred

),

final as (

    select
        case
            when artist_id = '' then {{ unknown_member_key() }}
            else {{ surrogate_key(['artist_id']) }}
        end as artist_key,
        artist_id,
        artist_mbid,
        artist_name,
        aliases,
        {%- for feature in ['familiarity', 'hotness'] %}
            case
                when artist_{{ feature }} is null then 'Unknown'
                -- Bands of 0.2, numbered so that their limits are exact decimals.
                else
                    concat(
                        cast(floor(artist_{{ feature }} * 5) * 0.2 as decimal(2, 1)),
                        ' to ',
                        cast(
                            (floor(artist_{{ feature }} * 5) + 1) * 0.2 as decimal(2, 1)
                        )
                    )
            end as {{ feature }}_band,
        {%- endfor %}
        artist_familiarity,
        artist_hotness,
        track_count,
        is_inferred
    from members

)

select * from final
