{% set is_whole = batches_read() is not none and tests_whole_history() %}
{% set items = ref('int_session_items_priced') %}
with

accepted as (

    select
        items.session_id,
        items.item_number,
        count(*) as accepted_count
    from {{ items if is_whole else read_once(items) }} as items
    inner join {{ ref('int_sessions_latest') }} as sessions
        on
            items.session_id = sessions.session_id
            and items._batch_id = sessions._batch_id
            and items._position = sessions._position
    where
        items.rejection_reason is null
        and {{ 'true' if is_whole else is_read('items._batch_id') }}
    group by items.session_id, items.item_number

),

sold as (

    select
        session_id,
        item_number,
        count(*) as sold_count
    from {{ ref('fact_order_items') }}
    where {{ 'true' if is_whole else is_read() }}
    group by session_id, item_number

),

final as (

    select
        coalesce(accepted.session_id, sold.session_id) as session_id,
        coalesce(accepted.item_number, sold.item_number) as item_number,
        accepted.accepted_count,
        sold.sold_count
    from accepted
    full outer join sold
        on
            accepted.session_id = sold.session_id
            and accepted.item_number = sold.item_number

)

select * from final
where accepted_count is distinct from 1 or sold_count is distinct from 1
