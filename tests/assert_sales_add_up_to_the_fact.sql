with

fact as (

    select
        sum(price_usd) as revenue_usd,
        count(*) as item_count
    from {{ ref('fact_order_items') }}

),

totals as (

    {% for view in ['artist', 'country', 'song', 'day'] %}
        select
            sum(revenue_usd) as revenue_usd,
            -- Without rows a sum is null, but a count is 0.
            coalesce(sum(item_count), 0) as item_count
        from {{ ref('sales_per_' ~ view ~ '_mv') }}

        union all
    {% endfor %}
    select
        sum(cohorts.revenue_usd) as revenue_usd,
        -- Cohorts count buyers and not items, so items are not compared.
        coalesce(any_value(fact.item_count), 0) as item_count
    from {{ ref('buyer_cohorts_mv') }} as cohorts
    cross join fact

)

select totals.*
from totals
cross join fact
where
    totals.revenue_usd is distinct from fact.revenue_usd
    or totals.item_count is distinct from fact.item_count
