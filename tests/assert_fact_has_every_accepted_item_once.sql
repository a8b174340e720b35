{#- The cache has only the batches that this build reads. -#}
{% set reads_all = batches_to_read() is not none and tests_all_rows() %}
{% set items = ref('int_session_items_priced') %}
with

accepted as {{ not_materialized() }} (

    select
        items.session_id,
        items.item_number,
        items._batch_id
    from {{ cached_view(items, reads_all) }} as items
    inner join {{ ref('int_sessions_latest') }} as sessions
        on
            items._ingested_at = sessions._ingested_at
            and items._position = sessions._position
    where
        items.rejection_reason is null
        and {{ 'true' if reads_all else is_new_batch(column='items._batch_id') }}

),

accepted_and_sold as {{ not_materialized() }} (

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
    where {{ 'true' if reads_all else is_new_batch() }}

),

-- Found by checksums: comparing all items would need more memory than there is. The key
-- tests find duplicates.
differing_batches as (

    select _batch_id
    from accepted_and_sold
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
    from accepted_and_sold
    where _batch_id in (select differing_batches._batch_id from differing_batches)
    group by session_id, item_number

)

select * from final
where accepted_count <> 1 or sold_count <> 1
