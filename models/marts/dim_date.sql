{{ config(unique_key='date_key') }}

with

sessions as (

    select cast(session_start_time as date) as session_date
    from {{ ref('int_sessions_latest') }}
    where {{ is_new_batch('sessions') }}

),

observed as (

    select
        min(session_date) as first_date,
        max(session_date) as last_date
    from sessions

    {% if is_incremental() %}
        union all

        select
            min(date) as first_date,
            max(date) as last_date
        from {{ this }}
    {% endif %}

),

-- Whole years, so that a year has its empty days and months too.
span as (

    select
        cast({{ dbt.date_trunc('year', 'min(first_date)') }} as date) as first_date,
        {{ dbt.last_day('max(last_date)', 'year') }} as last_date
    from observed

),

days as (

    select {{ date_series('first_date', 'last_date') }} as date
    from span

),

final as (

    select
        {{ date_key('date') }} as date_key,
        date,
        cast(extract(day from date) as integer) as day,
        cast(extract(week from date) as integer) as week,
        cast(extract(month from date) as integer) as month,
        cast(extract(quarter from date) as integer) as quarter,
        cast(extract(year from date) as integer) as year,
        {{ day_of_week('date') }} as day_of_week,
        {{ day_of_week('date') }} >= 6 as is_weekend
    from days

)

select * from final
