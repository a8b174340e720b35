{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        fact_key,
        song_key,
        person_key,
        artist_key,
        price_usd,
        liked,
        liked_since,
        session_start_time,
        local_day_of_week,
        local_hour
    from {{ ref('fact_order_items') }}

),

final as (

    select
        person_key,
        count(*) as item_count,
        sum({{ row_hash([
            'fact_key', 'song_key', 'person_key', 'artist_key', 'price_usd', 'liked',
            'liked_since', 'session_start_time', 'local_day_of_week', 'local_hour',
        ]) }}) as items_checksum
    from order_items
    group by person_key

)

select * from final
