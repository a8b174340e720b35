{{ config(materialized='view') }}

-- What the star is measured by: int_counted_deliveries reads the files alone.
with

delivered as (

    select *
    from {{ ref('int_counted_deliveries') }}

),

rejected as (

    select
        record_number,
        item_number,
        _batch_id
    from {{ ref('rejected_records') }}
    where entity = 'session_items'

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
        item.price as delivered_price,
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
        typed.delivered_price,
        typed.price,
        typed._batch_id
    from typed
    left join rejected
        on
            typed._batch_id = rejected._batch_id
            and typed.record_number = rejected.record_number
            and typed.item_number = rejected.item_number
    where rejected._batch_id is null

),

final as (

    select
        sold_on,
        currency,
        count(*) as item_count,
        sum(price) as revenue,
        -- The cast rounds as that of staging does, so a sum alone would not show it. A
        -- negative zero is zero.
        sum({{ row_hash(['delivered_price + 0']) }}) as prices_checksum,
        _batch_id
    from landed
    group by sold_on, currency, _batch_id

)

select * from final
