{{
    config(
        unique_key='rejected_record_key',
        pre_hook='{{ delete_reprocessed_batches() }}',
    )
}}

with

-- Items of a rejected session are in the payload of the session.
rejected as (

    select
        entity,
        record_id,
        rejection_reason,
        item_number,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ cached_view(ref('int_landed_records')) }}
    where rejection_reason <> 'session_rejected' and {{ is_new_batch() }}

),

-- Rows of Postgres and of the ECB have no position, so equal rows are numbered.
numbered as (

    select
        *,
        row_number() over (
            partition by entity, _batch_id, _position, item_number, _payload
            order by record_id
        ) as duplicate_number
    from rejected

),

final as (

    select
        {{ surrogate_key([
            'entity', '_batch_id', '_position', 'item_number', '_payload',
            'duplicate_number',
        ]) }} as rejected_record_key,
        entity,
        record_id,
        rejection_reason,
        cast(_position + 1 as integer) as record_number,
        item_number,
        _payload as payload,
        _source,
        _ingested_at,
        _batch_id
    from numbered

)

select * from final
