with

catalogue as (

    select
        track_id,
        song_title
    from {{ ref('int_songs_latest') }}

),

sold as (

    select distinct
        song_id,
        song_key
    from {{ ref('fact_order_items') }}

),

songs as (

    select
        song_key,
        track_id,
        song_title,
        is_inferred
    from {{ ref('dim_songs') }}

),

final as (

    select
        sold.song_id,
        songs.track_id,
        songs.song_title,
        catalogue.song_title as catalogue_title,
        songs.is_inferred
    from sold
    inner join catalogue on sold.song_id = catalogue.track_id
    left join songs on sold.song_key = songs.song_key

)

select * from final
where
    track_id is distinct from song_id
    or song_title is distinct from catalogue_title
    or is_inferred
