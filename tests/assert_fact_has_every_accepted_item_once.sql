{% set is_whole = batches_read() is not none and tests_all_rows() %}
{% set items = ref('int_session_items_priced') %}
with

accepted as {{ not_materialized() }} (

    select
        items.session_id,
        items.item_number,
        items._batch_id
    from {{ items if is_whole else read_once(items) }} as items
    inner join {{ ref('int_sessions_latest') }} as sessions
        on
            items._ingested_at = sessions._ingested_at
            and items._position = sessions._position
    where
        items.rejection_reason is null
        and {{ 'true' if is_whole else is_read('items._batch_id') }}

),

told as {{ not_materialized() }} (

    select
        *,
        1 as accepted_count,
        0 as sold_count
    from accepted

    union all

    select
        session_id,
        item_number,
        _batch_id,
        0 as accepted_count,
        1 as sold_count
    from {{ ref('fact_order_items') }}
    where {{ 'true' if is_whole else is_read() }}

),

-- All items at once take more memory than there is. That none is there twice the tests
-- of the keys say.
differing_batches as (

    select _batch_id
    from told
    group by _batch_id
    having
        sum(accepted_count) <> sum(sold_count)
        or sum({{ row_hash(['session_id', 'item_number']) }} * accepted_count)
        <> sum({{ row_hash(['session_id', 'item_number']) }} * sold_count)

),

final as (

    select
        session_id,
        item_number,
        sum(accepted_count) as accepted_count,
        sum(sold_count) as sold_count
    from told
    where _batch_id in (select differing_batches._batch_id from differing_batches)
    group by session_id, item_number

)

select * from final
where accepted_count <> 1 or sold_count <> 1
