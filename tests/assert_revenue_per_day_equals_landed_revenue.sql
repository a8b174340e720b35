{% set from_files = ref('int_landed_revenue') %}
{% set from_table = ref('int_landed_revenue_by_batch') %}
with

landed_per_day as (

    select
        sold_on,
        currency,
        sum(item_count) as item_count,
        sum(revenue) as revenue,
        sum(prices_checksum) as prices_checksum
    from {{ cached_view(from_files, true) if tests_all_rows() else from_table }}
    group by sold_on, currency

),

published_rates as (

    select
        currency,
        rate_date,
        rate
    from {{ source('ecb', 'exchange_rates') }}
    where rate > 0 and _batch_id = {{ latest_batch('exchange_rates') }}

),

-- Days with published rates and days with sales: rates carry over to the days of sales.
days as (

    select
        currency,
        rate_date as day,
        rate
    from published_rates

    union all

    select
        landed_per_day.currency,
        landed_per_day.sold_on as day,
        null as rate
    from landed_per_day

    union all

    select
        'USD' as currency,
        sold_on as day,
        null as rate
    from landed_per_day

),

rate_days as (

    select
        currency,
        day,
        max(rate) as rate
    from days
    group by currency, day

),

numbered_days as (

    select
        *,
        count(rate) over (partition by currency order by day) as list_number
    from rate_days

),

rates as (

    select
        currency,
        day,
        max(rate) over (partition by currency, list_number) as rate
    from numbered_days

),

expected as (

    select
        landed_per_day.sold_on,
        landed_per_day.currency,
        landed_per_day.item_count,
        landed_per_day.revenue,
        landed_per_day.prices_checksum,
        case
            when landed_per_day.currency = 'USD' then landed_per_day.revenue
            else
                cast(landed_per_day.revenue as double) * dollars.rate
                / coalesce(rates.rate, 1)
        end as revenue_usd
    from landed_per_day
    left join rates
        on
            landed_per_day.currency = rates.currency
            and landed_per_day.sold_on = rates.day
    left join rates as dollars
        on
            dollars.currency = 'USD'
            and landed_per_day.sold_on = dollars.day

),

sold_per_day as (

    select
        cast(session_start_time as date) as sold_on,
        currency,
        count(*) as item_count,
        sum(price) as revenue,
        sum({{ row_hash(['cast(price as double)']) }}) as prices_checksum,
        sum(price_usd) as revenue_usd
    from {{ ref('fact_order_items') }}
    group by cast(session_start_time as date), currency

),

final as (

    select
        coalesce(expected.sold_on, sold_per_day.sold_on) as sold_on,
        coalesce(expected.currency, sold_per_day.currency) as currency,
        expected.item_count as landed_item_count,
        sold_per_day.item_count,
        expected.revenue as landed_revenue,
        sold_per_day.revenue,
        expected.prices_checksum as landed_prices_checksum,
        sold_per_day.prices_checksum,
        expected.revenue_usd as landed_revenue_usd,
        sold_per_day.revenue_usd
    from expected
    full outer join sold_per_day
        on
            expected.sold_on = sold_per_day.sold_on
            and expected.currency = sold_per_day.currency

)

select * from final
where
    landed_item_count is distinct from item_count
    or landed_revenue is distinct from revenue
    or landed_prices_checksum is distinct from prices_checksum
    -- A tolerance of one cent, plus the rounding of each item to a millionth.
    or not coalesce(
        abs(landed_revenue_usd - revenue_usd) < 0.01 + 0.000001 * item_count, false
    )
