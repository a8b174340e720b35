{{ config(materialized='materialized_view', additive=true) }}

with

final as (

    select
        artist_key,
        artist_name,
        year,
        revenue_usd,
        item_count
    from {{ ref('sales_per_artist_vw') }}

)

select * from final
