{{ config(materialized='view') }}

-- An independent check of the star: int_counted_deliveries reads only the landed files.
with

counted_deliveries as (

    select *
    from {{ ref('int_counted_deliveries') }}

),

rejected_items as (

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
    from counted_deliveries

),

typed_items as (

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

accepted_items as (

    select
        typed_items.sold_on,
        typed_items.currency,
        typed_items.delivered_price,
        typed_items.price,
        typed_items._batch_id
    from typed_items
    left join rejected_items
        on
            typed_items._batch_id = rejected_items._batch_id
            and typed_items.record_number = rejected_items.record_number
            and typed_items.item_number = rejected_items.item_number
    where rejected_items._batch_id is null

),

final as (

    select
        sold_on,
        currency,
        count(*) as item_count,
        sum(price) as revenue,
        -- Staging casts prices in the same way, so a sum would not show if the cast
        -- rounded one. Adding 0 makes a negative zero a zero.
        sum({{ row_hash(['delivered_price + 0']) }}) as prices_checksum,
        _batch_id
    from accepted_items
    group by sold_on, currency, _batch_id

)

select * from final
