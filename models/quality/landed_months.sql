{{ config(materialized='view') }}
{% set last_day = dbt.last_day('month_date', 'month') %}

with

landed_days as (

    select
        cast({{ dbt.date_trunc('month', 'date') }} as date) as month_date,
        date,
        landed_through
    from {{ ref('landed_days') }}

),

months as (

    select
        month_date,
        cast(count(*) as integer) as landed_day_count,
        -- From the first day of the month on.
        max(case when date = month_date then landed_through end) as landed_through,
        min(month_date) over () as first_month_date
    from landed_days
    group by month_date

),

final as (

    select
        month_date,
        landed_day_count,
        month_date = first_month_date as is_first_month,
        coalesce(landed_through >= {{ last_day }}, false) as is_complete,
        coalesce(
            landed_through >= {{ dbt.last_day(
                dbt.dateadd('month', 1, 'month_date'), 'month'
            ) }},
            false
        ) as is_next_month_complete,
        coalesce(landed_through >= {{ dbt.dateadd('day', 90, last_day) }}, false)
            as is_churn_known,
        coalesce(landed_through >= {{ dbt.dateadd('day', 30, last_day) }}, false)
            as is_conversion_known,
        landed_through
    from months

)

select * from final
