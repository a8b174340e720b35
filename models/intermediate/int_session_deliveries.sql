{{
    config(
        unique_key=['_batch_id', 'record_number'],
        pre_hook='{{ delete_reprocessed_batches() }}',
    )
}}

-- The key and not the id: an id may contain a NUL byte, and DuckLake cannot prune files
-- by such a value.
with

final as (

    select
        {{ surrogate_key(['session_id']) }} as session_key,
        _position + 1 as record_number,
        _batch_id
    from {{ source('api', 'sessions') }}
    where session_id is not null and {{ is_new_batch('sessions') }}

)

select * from final
