{% set days_after = dbt.dateadd('day', var('churn_days'), dbt.last_day('days.date', 'month')) %}
with

landed_days as (

    select
        date,
        landed_through
    from {{ ref('landed_days') }}

),

days as (

    select date from landed_days
    union
    -- A session may be on another day than the one that was landed.
    select date from {{ ref('sales_per_day_mv') }}

),

final as (

    select
        days.date,
        landed_days.date is not null as is_landed,
        coalesce(
            {{ dbt.date_trunc('month', 'days.date') }} = (
                select {{ dbt.date_trunc('month', 'min(landed_days.date)') }}
                from landed_days
            ),
            false
        ) as is_first_month,
        coalesce(
            months.landed_through >= {{ dbt.last_day('days.date', 'month') }}, false
        ) as is_month_complete,
        coalesce(
            months.landed_through >= {{ dbt.last_day(
                dbt.dateadd('month', 1, dbt.date_trunc('month', 'days.date')), 'month'
            ) }},
            false
        ) as is_next_month_complete,
        coalesce(months.landed_through >= {{ days_after }}, false)
            as is_churn_known,
        coalesce(
            landed_days.landed_through >= {{ dbt.dateadd('day', 30, 'days.date') }}, false
        ) as is_conversion_known
    from days
    left join landed_days on days.date = landed_days.date
    -- From the first day of the month on.
    left join landed_days as months
        on {{ dbt.date_trunc('month', 'days.date') }} = months.date

)

select * from final
