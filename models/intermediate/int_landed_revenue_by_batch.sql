{{
    config(
        unique_key=['sold_on', 'currency', '_batch_id'],
        pre_hook='{{ delete_reprocessed_batches(redelivered_batches()) }}',
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
        where {{ in_list('_batch_id', redelivered_batches()) }}
    {% endif %}

)

select * from final
