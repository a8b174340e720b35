with

months as (

    select
        month_date,
        cast({{ dbt.dateadd('month', 1, 'month_date') }} as date) as next_month_date,
        cast(revenue_usd as double) as revenue_usd
    from {{ ref('sales_per_month_vw') }}
    where is_complete

),

-- The rule: as much per day as in the month before.
forecasts as (

    select
        next_month_date as month_date,
        revenue_usd
        / {{ dbt.datediff('month_date', 'next_month_date', 'day') }}
        * {{ dbt.datediff(
            'next_month_date', dbt.dateadd('month', 1, 'next_month_date'), 'day'
        ) }} as forecast_usd
    from months
    where revenue_usd > 0

),

measured as (

    select
        forecasts.month_date,
        forecasts.forecast_usd,
        months.revenue_usd as actual_usd,
        months.revenue_usd / forecasts.forecast_usd - 1 as forecast_error
    from forecasts
    left join months on forecasts.month_date = months.month_date

),

past_errors as (

    select
        measured.month_date,
        abs(past.forecast_error) as absolute_error,
        row_number() over (
            partition by measured.month_date order by abs(past.forecast_error)
        ) as error_rank,
        count(*) over (partition by measured.month_date) as error_count
    from measured
    inner join measured as past on measured.month_date > past.month_date
    where past.forecast_error is not null

),

-- The smallest error that, with the new one, at least 80% do not exceed: of 4 past
-- errors the largest, of 9 the second-largest. With fewer than 4 there is none.
intervals as (

    select
        month_date,
        cast(count(*) as integer) as past_error_count,
        avg(absolute_error) as mean_absolute_error,
        min(case when 5 * error_rank >= 4 * (error_count + 1) then absolute_error end)
            as largest_error
    from past_errors
    group by month_date

),

final as (

    select
        measured.month_date,
        case when intervals.largest_error is not null then measured.forecast_usd end
            as forecast_usd,
        case
            when intervals.largest_error < 1
                then measured.forecast_usd * (1 - intervals.largest_error)
            when intervals.largest_error is not null then 0
        end as lower_usd,
        measured.forecast_usd * (1 + intervals.largest_error) as upper_usd,
        measured.actual_usd,
        case when intervals.largest_error is not null then measured.forecast_error end
            as forecast_error,
        intervals.mean_absolute_error,
        coalesce(intervals.past_error_count, 0) as past_error_count,
        case
            when intervals.largest_error is null
                then
                    concat(
                        'Too few complete months: ',
                        coalesce(intervals.past_error_count, 0),
                        ' of 4 errors are known.'
                    )
        end as missing_reason
    from measured
    left join intervals on measured.month_date = intervals.month_date

)

select * from final
