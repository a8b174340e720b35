with

-- A text with a NUL must not become a value to look for in the lake.
session_items as {{ not_materialized() }} (

    select
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        item_number,
        rate_date,
        _position,
        _batch_id
    from {{ read_once(ref('int_landed_records')) }}
    where entity = 'session_items' and {{ is_new_batch() }}

),

judged as {{ not_materialized() }} (

    select
        session_items.session_id,
        session_items.item_number,
        session_items.rate_date,
        session_items._batch_id,
        session_items.rejection_reason is not null as is_rejected,
        coalesce(not superseded.is_lost, false) as is_superseded
    from session_items
    left join {{ ref('int_superseded_deliveries') }} as superseded
        on
            session_items._batch_id = superseded._batch_id
            and session_items._position = superseded._position

),

accepted_and_sold as {{ not_materialized() }} (

    select
        session_id,
        item_number,
        _batch_id,
        1 as accepted_count,
        0 as sold_count
    from judged
    where not is_rejected and not is_superseded

    union all

    select
        session_id,
        item_number,
        _batch_id,
        0 as accepted_count,
        1 as sold_count
    from {{ ref('fact_order_items') }}
    where {{ is_new_batch('sessions') }}

),

-- All items at once take more memory than there is: what is sold of a batch is what was
-- accepted if the checksums are the same.
differing_batches as (

    select _batch_id
    from accepted_and_sold
    group by _batch_id
    having
        sum(accepted_count) <> sum(sold_count)
        or sum({{ row_hash(['session_id', 'item_number']) }} * accepted_count)
        <> sum({{ row_hash(['session_id', 'item_number']) }} * sold_count)

),

items_of_differing_batches as (

    select
        session_id,
        item_number,
        _batch_id,
        sum(accepted_count) as accepted_count,
        sum(sold_count) as sold_count
    from accepted_and_sold
    where _batch_id in (select differing_batches._batch_id from differing_batches)
    group by session_id, item_number, _batch_id

),

found as (

    select
        _batch_id,
        cast(sum(sold_count) as bigint) as item_count
    from items_of_differing_batches
    where accepted_count > 0
    group by _batch_id

),

final as (

    select
        count(*) as landed_count,
        count(
            case
                when judged.is_rejected then null
                when judged.is_superseded or differing_batches._batch_id is null then 1
            end
        ) + coalesce(max(found.item_count), 0) as loaded_count,
        count(case when judged.is_rejected then 1 end) as rejected_count,
        max(judged.rate_date) as last_rate_date,
        judged._batch_id
    from judged
    left join differing_batches on judged._batch_id = differing_batches._batch_id
    left join found on judged._batch_id = found._batch_id
    group by judged._batch_id

)

select * from final
