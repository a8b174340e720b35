{{ config(unique_key='date_key', incremental_strategy='replace') }}

with

sessions as (

    select
        min(session_start_time) as first_time,
        max(session_start_time) as last_time
    from {{ ref('int_sessions_latest') }}

),

-- Whole years, so that days and months without a sale are included. By the buyer's
-- clock, a session may be on the day before or after them.
date_range as (

    select
        least(
            cast({{ dbt.date_trunc('year', 'first_time') }} as date),
            cast({{ dbt.dateadd('day', -1, 'first_time') }} as date)
        ) as first_date,
        greatest(
            {{ dbt.last_day('last_time', 'year') }},
            cast({{ dbt.dateadd('day', 1, 'last_time') }} as date)
        ) as last_date
    from sessions

),

days as (

    select {{ explode_date_series('first_date', 'last_date') }} as date
    from date_range

),

weeks as (

    select
        date,
        cast({{ dbt.date_trunc('week', 'date') }} as date) as first_day_of_week
    from days

),

final as (

    select
        {{ date_key('date') }} as date_key,
        date,
        cast(extract(day from date) as integer) as day,
        cast(extract(week from date) as integer) as week,
        cast(extract(week from date) as integer) as iso_week,
        -- By ISO 8601, the year of the week's Thursday.
        cast(
            extract(year from {{ dbt.dateadd('day', 3, 'first_day_of_week') }})
            as integer
        ) as iso_year,
        first_day_of_week,
        cast({{ dbt.date_trunc('month', 'date') }} as date) as first_day_of_month,
        cast(extract(month from date) as integer) as month,
        cast(extract(quarter from date) as integer) as quarter,
        cast(extract(year from date) as integer) as year,
        {{ iso_day_of_week('date') }} as day_of_week,
        {{ iso_day_of_week('date') }} >= 6 as is_weekend
    from weeks

)

select * from final
