{{
    config(
        materialized='materialized_view',
        meta={'increment_column': 'person_key'},
        group_key='person_key',
    )
}}
{#- The same for all items of a session. -#}
{%- set session_columns = [
    'session_id', 'user_key', 'person_key', 'date_key', 'local_date_key', 'device_type',
    'is_user_version_assumed', 'session_start_time', 'local_date', 'local_day_of_week',
    'local_hour'
] %}

with

orders as (

    select
        {{ session_columns | join(',\n        ') }},
        cast(count(*) as integer) as item_count,
        cast(sum(price_usd) as decimal(18, 6)) as revenue_usd
    from {{ ref('fact_order_items') }}
    group by
        {{ session_columns | join(',\n        ') }}

),

numbered_orders as (

    select
        *,
        cast(
            row_number() over (
                partition by person_key order by session_start_time, session_id
            ) as integer
        ) as order_number,
        lag(session_start_time) over (
            partition by person_key order by session_start_time, session_id
        ) as previous_start_time,
        lead(session_start_time) over (
            partition by person_key order by session_start_time, session_id
        ) as next_start_time
    from orders

),

orders_with_intervals as (

    select
        *,
        cast(
            {{ dbt.datediff('previous_start_time', 'session_start_time', 'day') }}
            as integer
        ) as days_since_previous_order,
        cast(
            {{ dbt.datediff('session_start_time', 'next_start_time', 'day') }}
            as integer
        ) as days_to_next_order,
        cast(
            {{ dbt.datediff('session_start_time', 'next_start_time', 'month') }}
            as integer
        ) as months_to_next_order
    from numbered_orders

),

final as (

    select
        session_id as order_id,
        user_key,
        person_key,
        date_key,
        local_date_key,
        order_number,
        case
            when order_number = 1 then 'first'
            when days_since_previous_order > 90 then 'returning'
            else 'repeat'
        end as order_type,
        device_type,
        item_count,
        revenue_usd,
        days_since_previous_order,
        days_to_next_order,
        months_to_next_order,
        is_user_version_assumed,
        session_start_time,
        local_date,
        local_day_of_week,
        local_hour
    from orders_with_intervals

)

select * from final
