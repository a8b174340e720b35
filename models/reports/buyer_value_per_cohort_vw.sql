with

buyers as (

    select
        cast({{ dbt.date_trunc('month', 'first_ordered_at') }} as date) as cohort_date,
        revenue_first_30_days_usd,
        revenue_first_60_days_usd,
        revenue_first_90_days_usd
    from {{ ref('dim_buyers') }}

),

landed_months as (

    select
        month_date,
        is_first_month,
        landed_through
    from {{ ref('landed_months') }}

),

cohorts as (

    select
        cohort_date,
        count(*) as buyer_count,
        -- The average of decimals has other digits in each engine.
        cast(sum(revenue_first_30_days_usd) as double) / count(*)
            as revenue_30_days_usd,
        cast(sum(revenue_first_60_days_usd) as double) / count(*)
            as revenue_60_days_usd,
        cast(sum(revenue_first_90_days_usd) as double) / count(*)
            as revenue_90_days_usd
    from buyers
    group by cohort_date

),

known_cohorts as (

    select
        cohorts.*,
        {{ dbt.datediff(
            dbt.last_day('cohorts.cohort_date', 'month'),
            'landed_months.landed_through',
            'day'
        ) }} as days_landed
    from cohorts
    inner join landed_months on cohorts.cohort_date = landed_months.month_date
    -- Who bought before the first landed month is not known.
    where not landed_months.is_first_month

),

final as (

    select
        cohort_date,
        buyer_count,
        -- Known when these days are over for the last buyer of the month.
        case when days_landed >= 30 then revenue_30_days_usd end
            as revenue_per_buyer_30_days_usd,
        case when days_landed >= 60 then revenue_60_days_usd end
            as revenue_per_buyer_60_days_usd,
        case when days_landed >= 90 then revenue_90_days_usd end
            as revenue_per_buyer_90_days_usd
    from known_cohorts

)

select * from final
