with

-- Rejected ids become null: DuckLake cannot prune files by an id with a NUL byte.
session_items as {{ not_materialized() }} (

    select
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        item_number,
        rate_date,
        _position,
        _batch_id
    from {{ cached_view(ref('int_landed_records')) }}
    where entity = 'session_items' and {{ is_new_batch() }}

),

checked_items as {{ not_materialized() }} (

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
    from checked_items
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

-- Batches whose accepted items are not exactly the sold ones, found by checksums:
-- comparing all items would need more memory than there is.
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

found_counts as (

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
                when checked_items.is_rejected then null
                when
                    checked_items.is_superseded or differing_batches._batch_id is null
                    then 1
            end
        ) + coalesce(max(found_counts.item_count), 0) as loaded_count,
        count(case when checked_items.is_rejected then 1 end) as rejected_count,
        max(checked_items.rate_date) as last_rate_date,
        checked_items._batch_id
    from checked_items
    left join differing_batches on checked_items._batch_id = differing_batches._batch_id
    left join found_counts on checked_items._batch_id = found_counts._batch_id
    group by checked_items._batch_id

)

select * from final
