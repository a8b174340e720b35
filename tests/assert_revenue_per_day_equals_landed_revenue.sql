with

rejected as (

    select
        entity,
        record_number,
        item_number,
        _batch_id
    from {{ ref('rejected_records') }}

),

deliveries as (

    select
        sessions._position,
        sessions._batch_id,
        row_number() over (
            partition by sessions.session_id
            order by sessions._batch_id desc, sessions._position desc
        ) as recency
    from {{ source('api', 'sessions') }} as sessions
    left join rejected
        on
            rejected.entity = 'sessions'
            and sessions._batch_id = rejected._batch_id
            and sessions._position + 1 = rejected.record_number
    where rejected.entity is null

),

not_counted as (

    select
        _batch_id,
        _position + 1 as record_number
    from deliveries
    where recency > 1

    union all

    select
        _batch_id,
        record_number
    from rejected
    where entity = 'sessions'

),

delivered as (

    select
        sessions.session_items,
        {{ utc_timestamp('sessions.session_start_time') }} as session_start_time,
        sessions._position + 1 as record_number,
        sessions._batch_id
    from {{ source('api', 'sessions') }} as sessions
    left join not_counted
        on
            sessions._batch_id = not_counted._batch_id
            and sessions._position + 1 = not_counted.record_number
    where not_counted._batch_id is null

),

items as (

    select
        cast(session_start_time as date) as sold_on,
        {{ unnest_with_position('session_items', 'item', 'item_position') }},
        record_number,
        _batch_id
    from delivered

),

typed as (

    select
        sold_on,
        upper(trim(item.currency)) as currency,
        {{ dbt.safe_cast('item.price', 'decimal(18, 4)') }} as price,
        record_number,
        item_position + 1 as item_number,
        _batch_id
    from items

),

landed as (

    select
        typed.sold_on,
        typed.currency,
        typed.price
    from typed
    left join rejected
        on
            rejected.entity = 'session_items'
            and typed._batch_id = rejected._batch_id
            and typed.record_number = rejected.record_number
            and typed.item_number = rejected.item_number
    where rejected.entity is null

),

landed_per_day as (

    select
        sold_on,
        currency,
        count(*) as item_count,
        sum(price) as revenue
    from landed
    group by sold_on, currency

),

published as (

    select
        currency,
        rate_date,
        rate
    from {{ source('ecb', 'exchange_rates') }}
    where rate > 0 and _batch_id = {{ latest_batch('exchange_rates') }}

),

-- The days of sales in between those of the ECB's lists, for the rate to carry over.
days as (

    select
        currency,
        rate_date as day,
        rate
    from published

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

published_days as (

    select
        currency,
        day,
        max(rate) as rate
    from days
    group by currency, day

),

numbered as (

    select
        *,
        count(rate) over (partition by currency order by day) as list_number
    from published_days

),

rates as (

    select
        currency,
        day,
        max(rate) over (partition by currency, list_number) as rate
    from numbered

),

expected as (

    select
        landed_per_day.sold_on,
        landed_per_day.currency,
        landed_per_day.item_count,
        landed_per_day.revenue,
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

sold as (

    select
        cast(session_start_time as date) as sold_on,
        currency,
        count(*) as item_count,
        sum(price) as revenue,
        sum(price_usd) as revenue_usd
    from {{ ref('fact_order_items') }}
    group by cast(session_start_time as date), currency

),

final as (

    select
        coalesce(expected.sold_on, sold.sold_on) as sold_on,
        coalesce(expected.currency, sold.currency) as currency,
        expected.item_count as landed_item_count,
        sold.item_count,
        expected.revenue as landed_revenue,
        sold.revenue,
        expected.revenue_usd as landed_revenue_usd,
        sold.revenue_usd
    from expected
    full outer join sold
        on expected.sold_on = sold.sold_on and expected.currency = sold.currency

)

select * from final
where
    landed_item_count is distinct from item_count
    or landed_revenue is distinct from revenue
    -- A cent, and what rounding each item to a millionth may add up to.
    or not coalesce(
        abs(landed_revenue_usd - revenue_usd) < 0.01 + 0.000001 * item_count, false
    )
