with

revenue as (

    select
        month_date,
        currency,
        revenue,
        revenue_usd
    from {{ ref('revenue_per_currency_mv') }}

),

landed_months as (

    select month_date
    from {{ ref('landed_months') }}
    where is_complete

),

-- The mean rate of each currency in the last complete month in which it was sold.
dated_rates as (

    select
        revenue.currency,
        cast(revenue.revenue_usd as double) / cast(revenue.revenue as double)
            as usd_per_unit,
        row_number() over (
            partition by revenue.currency order by revenue.month_date desc
        ) as age_rank
    from revenue
    inner join landed_months on revenue.month_date = landed_months.month_date
    where revenue.revenue > 0

),

fixed_rates as (

    select
        currency,
        usd_per_unit
    from dated_rates
    where age_rank = 1

),

monthly as (

    select
        revenue.month_date,
        cast(sum(revenue.revenue_usd) as double) as revenue_usd,
        -- As decimals, so that the sum does not depend on the order.
        cast(sum(
            case
                when landed_months.month_date is not null
                    then
                        cast(
                            cast(revenue.revenue as double) * fixed_rates.usd_per_unit
                            as decimal(38, 6)
                        )
            end
        ) as double) as constant_revenue_usd,
        landed_months.month_date is not null as is_complete
    from revenue
    left join fixed_rates on revenue.currency = fixed_rates.currency
    left join landed_months on revenue.month_date = landed_months.month_date
    group by revenue.month_date, landed_months.month_date

),

comparable as (

    select
        months.*,
        previous_months.revenue_usd as previous_usd,
        previous_months.constant_revenue_usd as previous_constant_usd
    from monthly as months
    left join monthly as previous_months
        on
            {{ dbt.dateadd('month', -1, 'months.month_date') }}
            = previous_months.month_date
            and months.is_complete
            and previous_months.is_complete

),

final as (

    select
        month_date,
        revenue_usd,
        constant_revenue_usd,
        revenue_usd / nullif(previous_usd, 0) - 1 as revenue_growth,
        constant_revenue_usd / nullif(previous_constant_usd, 0) - 1
            as constant_revenue_growth,
        is_complete
    from comparable

)

select * from final
