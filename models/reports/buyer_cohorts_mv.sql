{{ config(materialized='materialized_view') }}

with

orders as (

    select
        person_key,
        date_key,
        revenue_usd
    from {{ ref('fact_orders') }}

),

dates as (

    select
        date_key,
        cast({{ dbt.date_trunc('month', 'date') }} as date) as month_date,
        year * 12 + month as month_number
    from {{ ref('dim_date') }}

),

monthly as (

    select
        orders.person_key,
        dates.month_date,
        dates.month_number,
        sum(orders.revenue_usd) as revenue_usd
    from orders
    inner join dates on orders.date_key = dates.date_key
    group by orders.person_key, dates.month_date, dates.month_number

),

cohorts as (

    select
        person_key,
        revenue_usd,
        min(month_date) over (partition by person_key) as cohort_date,
        month_number - min(month_number) over (partition by person_key) as months_since
    from monthly

),

final as (

    select
        cohort_date,
        months_since,
        count(*) as buyer_count,
        sum(revenue_usd) as revenue_usd
    from cohorts
    group by cohort_date, months_since

)

select * from final
