{{ config(materialized='view') }}

-- From the files alone, past all that staging makes of them: it is what the star is
-- measured by.
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
        sessions.session_id,
        sessions._position,
        sessions._batch_id
    from {{ source('api', 'sessions') }} as sessions
    left join rejected
        on
            rejected.entity = 'sessions'
            and sessions._batch_id = rejected._batch_id
            and sessions._position + 1 = rejected.record_number
    where rejected.entity is null

),

-- They are few, so only they are compared.
delivered_again as (

    select session_id
    from deliveries
    group by session_id
    having count(*) > 1

),

compared as (

    select
        _position,
        _batch_id,
        row_number() over (
            partition by session_id order by _batch_id desc, _position desc
        ) as recency
    from deliveries
    where session_id in (select delivered_again.session_id from delivered_again)

),

not_counted as (

    select
        _batch_id,
        _position + 1 as record_number
    from compared
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
        {{ parse_utc_timestamp('sessions.session_start_time') }} as session_start_time,
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
            rejected.entity = 'session_items'
            and typed._batch_id = rejected._batch_id
            and typed.record_number = rejected.record_number
            and typed.item_number = rejected.item_number
    where rejected.entity is null

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
