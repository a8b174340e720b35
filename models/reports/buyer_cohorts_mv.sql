{{ config(materialized='materialized_view') }}

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
        user_id
    from {{ ref('dim_users') }}

),

dates as (

    select
        date_key,
        cast({{ dbt.date_trunc('month', 'date') }} as date) as month_date
    from {{ ref('dim_date') }}

),

-- A buyer is a user, in whichever version.
monthly as (

    select
        users.user_id,
        dates.month_date,
        sum(order_items.price_usd) as revenue_usd
    from order_items
    inner join users on order_items.user_key = users.user_key
    inner join dates on order_items.date_key = dates.date_key
    group by users.user_id, dates.month_date

),

cohorts as (

    select
        user_id,
        month_date,
        revenue_usd,
        min(month_date) over (partition by user_id) as cohort_date
    from monthly

),

aged as (

    select
        user_id,
        cohort_date,
        revenue_usd,
        cast({{ dbt.datediff('cohort_date', 'month_date', 'month') }} as integer)
            as months_since
    from cohorts

),

final as (

    select
        cohort_date,
        months_since,
        count(*) as buyer_count,
        sum(revenue_usd) as revenue_usd
    from aged
    group by cohort_date, months_since

)

select * from final
