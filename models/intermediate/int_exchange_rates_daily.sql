{{ config(unique_key=['rate_date', 'currency'], incremental_strategy='replace') }}

with

exchange_rates as (

    select
        currency,
        units_per_euro,
        rate_date
    from {{ ref('stg_ecb__exchange_rates') }}
    where
        rejection_reason is null
        and {{ is_new_batch('exchange_rates') }}
        -- Each extract is the whole list, so only the newest one is read.
        and _batch_id = {{ latest_batch('exchange_rates') if execute }}

),

currencies as (

    select
        currency,
        min(min(rate_date)) over () as first_date,
        max(max(rate_date)) over () as last_date
    from exchange_rates
    group by currency

),

calendar as (

    select
        currency,
        {{ explode_date_series(
            'first_date', dbt.dateadd('day', var('carry_days_at_end'), 'last_date')
        ) }} as rate_date,
        last_date
    from currencies

),

days as (

    select
        calendar.*,
        max(exchange_rates.rate_date) over (
            partition by calendar.currency order by calendar.rate_date
        ) as published_date
    from calendar
    left join exchange_rates
        on
            calendar.rate_date = exchange_rates.rate_date
            and calendar.currency = exchange_rates.currency

),

daily_rates as (

    select
        days.rate_date,
        days.currency,
        exchange_rates.units_per_euro,
        days.published_date,
        days.rate_date > days.last_date as is_provisional
    from days
    inner join exchange_rates
        on
            days.published_date = exchange_rates.rate_date
            and days.currency = exchange_rates.currency
    where
        -- Over weekends and holidays; after a longer gap the currency is discontinued.
        days.rate_date
        <= {{ dbt.dateadd('day', var('carry_days'), 'days.published_date') }}
        -- After the last list, all rates are carried until the next list is landed.
        or days.published_date = days.last_date

    union all

    -- The ECB quotes against the euro, so the euro itself is not in its list.
    select
        rate_date,
        'EUR' as currency,
        1 as units_per_euro,
        null as published_date,
        rate_date > last_date as is_provisional
    from calendar
    where currency = 'USD'

),

usd_rates as (

    select
        rate_date,
        units_per_euro as usd_per_euro,
        published_date
    from daily_rates
    where currency = 'USD'

),

final as (

    select
        daily_rates.rate_date,
        daily_rates.currency,
        -- Engines divide decimals differently, but doubles in the same way.
        {{ round_rate(
            'cast(usd_rates.usd_per_euro as double)'
            ~ ' / cast(daily_rates.units_per_euro as double)'
        ) }} as usd_per_unit,
        daily_rates.is_provisional,
        coalesce(daily_rates.published_date, usd_rates.published_date) as published_date
    from daily_rates
    inner join usd_rates on daily_rates.rate_date = usd_rates.rate_date

)

select * from final
