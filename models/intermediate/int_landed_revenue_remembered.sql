{{
    config(
        unique_key=['sold_on', 'currency', '_batch_id'],
        pre_hook='{{ delete_reread_batches(batches_delivered_again()) }}',
    )
}}

with

final as (

    select
        sold_on,
        currency,
        item_count,
        revenue,
        prices_checksum,
        _batch_id
    from {{ ref('int_landed_revenue') }}
    {% if is_incremental() %}
        where {{ is_one_of('_batch_id', batches_delivered_again()) }}
    {% endif %}

)

select * from final
