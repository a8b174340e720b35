with

rejected_records as (

    select
        entity,
        rejection_reason,
        _batch_id
    from {{ ref('rejected_records') }}

),

final as (

    select
        entity,
        rejection_reason,
        -- Without the hash of the content at its end.
        substring(
            max(_batch_id), 1, length(max(_batch_id)) - 17
        ) as newest_batch,
        count(*) as record_count
    from rejected_records
    group by entity, rejection_reason

)

select * from final
