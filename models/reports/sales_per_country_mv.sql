{{ config(materialized='materialized_view', additive=true) }}

with

order_items as (

    select
        user_key,
        date_key,
        price_usd
    from {{ ref('fact_order_items') }}

),

users as (

    select
        user_key,
        country_code,
        country_name
    from {{ ref('dim_users') }}

),

dates as (

    select
        date_key,
        month,
        year
    from {{ ref('dim_date') }}

),

final as (

    select
        users.country_code,
        users.country_name,
        dates.month,
        dates.year,
        sum(order_items.price_usd) as revenue_usd,
        count(*) as item_count
    from order_items
    inner join users on order_items.user_key = users.user_key
    inner join dates on order_items.date_key = dates.date_key
    group by users.country_code, users.country_name, dates.month, dates.year

)

select * from final
