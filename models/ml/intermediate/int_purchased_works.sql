with

order_items as (

    select
        fact_key,
        song_key,
        person_key,
        session_start_time
    from {{ ref('fact_order_items') }}

),

works as (

    select
        song_key,
        artist_key,
        work_key
    from {{ ref('int_works') }}

),

final as (

    select
        order_items.fact_key,
        order_items.song_key,
        order_items.person_key,
        works.artist_key,
        works.work_key,
        order_items.session_start_time
    from order_items
    inner join works on order_items.song_key = works.song_key

)

select * from final
