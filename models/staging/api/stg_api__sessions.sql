{{ config(tags=['rejection_rules', 'cached']) }}

with

sessions as (

    select
        session_id,
        user_id,
        user_agent,
        session_start_time,
        session_items,
        _position,
        _rescued,
        _payload,
        cast(_ingested_at as timestamp) as _ingested_at,
        _source,
        _batch_id
    from {{ source('api', 'sessions') }}

),

typed_sessions as (

    select
        session_id,
        user_id,
        user_agent,
        session_start_time as delivered_start_time,
        {{ parse_utc_timestamp('session_start_time') }} as session_start_time,
        {{ array_size('session_items') }} as item_count,
        -- The engine's own hash, because it is quick. If another release of the engine
        -- computes other hashes, a session that is delivered again is loaded again.
        {{ surrogate_key([row_hash([
            'user_id', 'user_agent', 'session_start_time', 'session_items', '_rescued',
        ])]) }} as _version_hash,
        _position,
        _rescued,
        _payload,
        _ingested_at,
        _source,
        _batch_id,
        {{ json_object_text([
            'session_id', 'user_id', 'user_agent', 'session_start_time',
            'session_items', '_rescued',
        ]) }} as _delivered
    from sessions

),

validated_sessions as (

    select
        *,
        case
            {{ malformed_record_cases('_payload', [
                'session_id', 'user_id', 'user_agent', 'delivered_start_time'
            ]) }}
            when coalesce(session_id, '') = '' or coalesce(user_id, '') = ''
                then 'missing_key'
            when delivered_start_time is null then 'missing_timestamp'
            when session_start_time is null then 'unparsable_timestamp'
            when
                cast(session_start_time as date) not between
                cast('{{ var("first_session_date") }}' as date)
                and cast('{{ var("last_session_date") }}' as date)
                then 'timestamp_out_of_range'
            when item_count is null then 'missing_items'
        end as rejection_reason
    from typed_sessions

),

final as (

    select
        session_id,
        user_id,
        user_agent,
        item_count,
        case
            when ({{ conflicts_with_duplicate('session_id') }})
                then 'contradicting_twin'
            else rejection_reason
        end as rejection_reason,
        session_start_time,
        _version_hash,
        _position,
        _rescued,
        coalesce(_payload, _delivered) as _payload,
        _ingested_at,
        _source,
        _batch_id
    from validated_sessions

)

select * from final
