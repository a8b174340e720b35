with

-- Rejected ids become null: DuckLake cannot prune files by an id with a NUL byte.
sessions as {{ not_materialized() }} (

    select
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        _position,
        _ingested_at,
        _batch_id
    from {{ cached_view(ref('int_landed_records')) }}
    where entity = 'sessions' and {{ is_new_batch() }}

),

latest_sessions as {{ not_materialized() }} (

    select
        session_id,
        _position,
        _ingested_at
    from {{ ref('int_sessions_latest') }}

),

superseded_deliveries as (

    select
        sessions.session_id,
        sessions._position,
        sessions._batch_id
    from sessions
    left join latest_sessions
        on
            sessions._ingested_at = latest_sessions._ingested_at
            and sessions._position = latest_sessions._position
    where sessions.rejection_reason is null and latest_sessions._position is null

),

-- Superseded deliveries are few, so only their sessions are looked up.
loaded_sessions as (

    select session_id
    from latest_sessions
    where
        session_id in (
            select superseded_deliveries.session_id from superseded_deliveries
        )

),

final as (

    select
        superseded_deliveries._position,
        superseded_deliveries._batch_id,
        loaded_sessions.session_id is null as is_lost
    from superseded_deliveries
    left join loaded_sessions
        on superseded_deliveries.session_id = loaded_sessions.session_id

)

select * from final
