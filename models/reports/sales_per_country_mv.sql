{{ config(materialized='materialized_view', additive=true) }}

with

final as (

    select * from {{ ref('sales_per_country_vw') }}

)

select * from final
