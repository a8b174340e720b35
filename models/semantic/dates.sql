{% set month = dbt.date_trunc('month', 'days.date') %}
{% set last_day = dbt.last_day('days.date', 'month') %}
{% set last_day_of_next = dbt.last_day(dbt.dateadd('month', 1, month), 'month') %}
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

first_month as (

    select cast({{ dbt.date_trunc('month', 'min(date)') }} as date) as date
    from landed_days

),

final as (

    select
        days.date,
        landed_days.date is not null as is_landed,
        first_month.date is not null as is_first_month,
        coalesce(months.landed_through >= {{ last_day }}, false) as is_month_complete,
        coalesce(months.landed_through >= {{ last_day_of_next }}, false)
            as is_next_month_complete,
        coalesce(
            months.landed_through
            >= {{ dbt.dateadd('day', var('churn_days'), last_day) }},
            false
        ) as is_churn_known,
        coalesce(
            months.landed_through >= {{ dbt.dateadd('day', 30, last_day) }}, false
        ) as is_conversion_known
    from days
    left join landed_days on days.date = landed_days.date
    -- Whether all days from the first one of the month on are landed.
    left join landed_days as months on {{ month }} = months.date
    left join first_month on {{ month }} = first_month.date

)

select * from final
