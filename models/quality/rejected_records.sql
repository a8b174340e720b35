{{ config(unique_key='rejected_record_key', pre_hook='{{ delete_reread_batches() }}') }}

with

users as (

    select
        user_id,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_api__users') }}
    where rejection_reason is not null and {{ is_new_batch('users') }}

),

sessions as (

    select
        session_id,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_api__sessions') }}
    where rejection_reason is not null and {{ is_new_batch('sessions') }}

),

-- Items of a rejected session lie in the payload of the session.
session_items as (

    select
        session_id,
        rejection_reason,
        item_number,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('int_session_items_priced') }}
    where
        rejection_reason is not null
        and rejection_reason <> 'session_rejected'
        and {{ is_new_batch('sessions') }}

),

songs as (

    select
        track_id,
        rejection_reason,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_postgres__songs') }}
    where rejection_reason is not null and {{ is_new_batch('songs') }}

),

exchange_rates as (

    select
        currency,
        rejection_reason,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_ecb__exchange_rates') }}
    where rejection_reason is not null and {{ is_new_batch('exchange_rates') }}

),

rejected as (

    select
        'users' as entity,
        user_id as record_id,
        null as item_number,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from users

    union all

    select
        'sessions' as entity,
        session_id as record_id,
        null as item_number,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from sessions

    union all

    select
        'session_items' as entity,
        session_id as record_id,
        item_number,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from session_items

    union all

    select
        'songs' as entity,
        track_id as record_id,
        null as item_number,
        rejection_reason,
        null as _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from songs

    union all

    select
        'exchange_rates' as entity,
        currency as record_id,
        null as item_number,
        rejection_reason,
        null as _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from exchange_rates

),

-- Rows of Postgres and of the ECB have no position: twins are told apart by counting.
numbered as (

    select
        *,
        row_number() over (
            partition by entity, _batch_id, _position, item_number, _payload
            order by record_id
        ) as twin_number
    from rejected

),

final as (

    select
        {{ surrogate_key([
            'entity', '_batch_id', '_position', 'item_number', '_payload', 'twin_number'
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
