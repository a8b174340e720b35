{{
    config(
        materialized='materialized_view',
        meta={'increment_column': 'person_key'},
        group_key='person_key',
        refresh_groups_when="(segment = 'lost') <> ({{ is_lost('last_ordered_at') }})",
    )
}}

with

order_items as (

    select
        person_key,
        artist_key,
        session_id,
        price_usd,
        session_start_time
    from {{ ref('fact_order_items') }}

),

dated_items as (

    select
        *,
        min(session_start_time) over (partition by person_key) as first_ordered_at
    from order_items

),

aged_items as (

    select
        *,
        {{ dbt.datediff('first_ordered_at', 'session_start_time', 'day') }}
            as days_since_first
    from dated_items

),

buyers as (

    select
        person_key,
        first_ordered_at,
        max(session_start_time) as last_ordered_at,
        cast(count(distinct session_id) as integer) as order_count,
        cast(count(*) as integer) as item_count,
        cast(sum(price_usd) as decimal(18, 6)) as revenue_usd,
        cast(
            sum(case when days_since_first <= 30 then price_usd end) as decimal(18, 6)
        ) as revenue_first_30_days_usd,
        cast(
            sum(case when days_since_first <= 60 then price_usd end) as decimal(18, 6)
        ) as revenue_first_60_days_usd,
        cast(
            sum(case when days_since_first <= 90 then price_usd end) as decimal(18, 6)
        ) as revenue_first_90_days_usd
    from aged_items
    group by person_key, first_ordered_at

),

artists as (

    select
        person_key,
        artist_key,
        row_number() over (
            partition by person_key order by count(*) desc, artist_key
        ) as artist_rank
    from order_items
    group by person_key, artist_key

),

final as (

    select
        buyers.person_key,
        artists.artist_key as favourite_artist_key,
        case
            when {{ is_lost('buyers.last_ordered_at') }} then 'lost'
            when buyers.order_count = 1 then 'new'
            when buyers.order_count < 5 then 'repeat'
            else 'loyal'
        end as segment,
        buyers.order_count,
        buyers.item_count,
        buyers.revenue_usd,
        buyers.revenue_first_30_days_usd,
        buyers.revenue_first_60_days_usd,
        buyers.revenue_first_90_days_usd,
        buyers.first_ordered_at,
        buyers.last_ordered_at
    from buyers
    inner join artists on buyers.person_key = artists.person_key
    where artists.artist_rank = 1

)

select * from final
