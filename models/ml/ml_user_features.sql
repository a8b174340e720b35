{{ config(materialized='incremental') }}

with

as_of_dates as (

    select
        as_of_dates.as_of_date,
        as_of_dates._purchases_checksum
    from {{ ref('int_as_of_dates') }} as as_of_dates
    {%- if is_incremental() %}
    anti join {{ this }} as user_features
        on
            as_of_dates.as_of_date = user_features.as_of_date
            and as_of_dates._purchases_checksum = user_features._purchases_checksum
    {%- endif %}
    where as_of_dates._purchases_checksum is not null

),

past_orders as (

    select
        as_of_dates.as_of_date,
        orders.*,
        orders.session_start_time >= as_of_dates.as_of_date - interval 90 day
            as is_of_last_90_days,
        orders.session_start_time >= as_of_dates.as_of_date - interval 30 day
            as is_of_last_30_days
    from {{ ref('fact_orders') }} as orders
    inner join as_of_dates on orders.session_start_time < as_of_dates.as_of_date

),

order_features as (

    select
        as_of_date,
        person_key,
        count(*) as order_count,
        count(*) filter (where is_of_last_90_days) as order_count_90_days,
        count(*) filter (where is_of_last_30_days) as order_count_30_days,
        cast(sum(item_count) as bigint) as item_count,
        sum(revenue_usd) as revenue_usd,
        date_diff('second', max(session_start_time), as_of_date) / 86400
            as recency_days,
        date_diff('second', min(session_start_time), as_of_date) / 86400
            as tenure_days,
        count(*) filter (where local_hour < 6) / count(*) as night_share,
        count(*) filter (where local_hour between 6 and 11) / count(*)
            as morning_share,
        count(*) filter (where local_hour between 12 and 17) / count(*)
            as afternoon_share,
        count(*) filter (where local_hour >= 18) / count(*) as evening_share,
        count(*) filter (where local_day_of_week >= 6) / count(*) as weekend_share
    from past_orders
    group by as_of_date, person_key

),

-- An item counts as liked only if it was liked before the date. Whether the others were
-- not liked may become known later.
item_features as (

    select
        as_of_dates.as_of_date,
        items.person_key,
        count(distinct items.artist_key) as artist_count,
        count(*) filter (
            where items.liked and items.liked_since < as_of_dates.as_of_date
        ) as like_count
    from {{ ref('fact_order_items') }} as items
    inner join as_of_dates on items.session_start_time < as_of_dates.as_of_date
    group by as_of_dates.as_of_date, items.person_key

),

final as (

    select
        order_features.as_of_date,
        order_features.person_key,
        order_features.order_count,
        order_features.order_count_90_days,
        order_features.order_count_30_days,
        order_features.item_count,
        item_features.artist_count,
        order_features.revenue_usd,
        order_features.recency_days,
        order_features.tenure_days,
        item_features.like_count / order_features.item_count as like_rate,
        order_features.night_share,
        order_features.morning_share,
        order_features.afternoon_share,
        order_features.evening_share,
        order_features.weekend_share,
        as_of_dates._purchases_checksum
    from order_features
    inner join item_features
        on
            order_features.as_of_date = item_features.as_of_date
            and order_features.person_key = item_features.person_key
    inner join as_of_dates on order_features.as_of_date = as_of_dates.as_of_date

)

select * from final
