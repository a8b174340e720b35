with

catalogue as (

    select
        track_id,
        song_title
    from {{ ref('int_songs_latest') }}

),

songs as (

    select
        song_key,
        track_id,
        song_title,
        is_inferred
    from {{ ref('dim_songs') }}

),

catalogue_songs as (

    select
        catalogue.track_id,
        songs.track_id as found_id,
        catalogue.song_title as catalogue_title,
        songs.song_title
    from catalogue
    left join songs
        on catalogue.track_id = songs.track_id and not songs.is_inferred

),

order_items as (

    select
        track_id,
        song_key
    from {{ ref('fact_order_items') }}
    {% if not tests_all_rows() %}
        where {{ is_unpublished(ref('fact_order_items'), '_batch_id') }}
    {% endif %}

),

sold_songs as (

    select distinct
        order_items.track_id,
        songs.track_id as found_id,
        null as catalogue_title,
        null as song_title
    from order_items
    left join songs on order_items.song_key = songs.song_key

),

final as (

    select * from catalogue_songs
    union all
    select * from sold_songs

)

select * from final
where
    found_id is distinct from track_id
    or song_title is distinct from catalogue_title
