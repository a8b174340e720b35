with

landed_days as (

    select date
    from {{ ref('landed_days') }}

),

landed_months as (

    select
        month_date,
        is_first_month,
        is_complete,
        is_next_month_complete,
        is_churn_known,
        is_conversion_known
    from {{ ref('landed_months') }}

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
        coalesce(landed_months.is_first_month, false) as is_first_month,
        coalesce(landed_months.is_complete, false) as is_month_complete,
        coalesce(landed_months.is_next_month_complete, false) as is_next_month_complete,
        coalesce(landed_months.is_churn_known, false) as is_churn_known,
        coalesce(landed_months.is_conversion_known, false) as is_conversion_known
    from days
    left join landed_days on days.date = landed_days.date
    left join landed_months
        on {{ dbt.date_trunc('month', 'days.date') }} = landed_months.month_date

)

select * from final
