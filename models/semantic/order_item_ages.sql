{{
    config(
        meta={'increment_column': '_batch_id', 'increment_source': 'fact_order_items'},
    )
}}

with

order_items as (

    select
        fact_key,
        song_key,
        user_key,
        person_key,
        artist_key,
        session_id,
        session_start_time,
        _batch_id
    from {{ ref('fact_order_items') }}

),

songs as (

    select
        song_key,
        year
    from {{ ref('dim_songs') }}
    where year is not null

),

final as (

    select
        order_items.fact_key,
        order_items.song_key,
        order_items.user_key,
        order_items.person_key,
        order_items.artist_key,
        order_items.session_id,
        cast(
            extract(year from order_items.session_start_time) - songs.year as integer
        ) as song_age_years,
        order_items.session_start_time,
        order_items._batch_id
    from order_items
    inner join songs on order_items.song_key = songs.song_key

)

select * from final
