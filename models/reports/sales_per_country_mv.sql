{{ config(materialized='materialized_view', additive=true) }}

with

final as (

    select
        country_code,
        country_name,
        month,
        year,
        revenue_usd,
        item_count
    from {{ ref('sales_per_country_vw') }}

)

select * from final
