with

dates as (

    select
        date,
        lag(date) over (order by date) as previous_date,
        lead(date) over (order by date) as next_date
    from {{ ref('dim_date') }}

)

select * from dates
where
    coalesce({{ dbt.datediff('previous_date', 'date', 'day') }}, 1) <> 1
    or (
        previous_date is null
        and date <> {{ dbt.date_trunc('year', 'date') }}
        and date <> {{ dbt.last_day('date', 'year') }}
    )
    or (
        next_date is null
        and date <> {{ dbt.last_day('date', 'year') }}
        and date <> {{ dbt.date_trunc('year', 'date') }}
    )
