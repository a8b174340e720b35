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

landed_months as (

    select
        month_date,
        is_first_month,
        is_complete
    from {{ ref('landed_months') }}

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
        month_date,
        revenue_usd,
        min(month_date) over (partition by person_key) as cohort_date,
        month_number - min(month_number) over (partition by person_key) as months_since
    from monthly

),

totals as (

    select
        cohort_date,
        month_date,
        months_since,
        count(*) as buyer_count,
        sum(revenue_usd) as revenue_usd
    from cohorts
    group by cohort_date, month_date, months_since

),

final as (

    select
        totals.cohort_date,
        totals.months_since,
        totals.buyer_count,
        totals.revenue_usd,
        coalesce(first_months.is_first_month, false) as is_first_month,
        coalesce(landed_months.is_complete, false) as is_complete
    from totals
    left join landed_months as first_months
        on totals.cohort_date = first_months.month_date
    left join landed_months on totals.month_date = landed_months.month_date

)

select * from final
