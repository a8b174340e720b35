with

-- A text with a NUL must not become a value to look for in the lake.
sessions as {{ not_materialized() }} (

    select
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        _position,
        _ingested_at,
        _batch_id
    from {{ read_once(ref('int_landed_records')) }}
    where entity = 'sessions' and {{ is_new_batch() }}

),

latest_sessions as {{ not_materialized() }} (

    select
        session_id,
        _position,
        _ingested_at
    from {{ ref('int_sessions_latest') }}

),

-- They are few, so only their sessions are looked for.
other_deliveries as (

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

found as (

    select session_id
    from latest_sessions
    where session_id in (select other_deliveries.session_id from other_deliveries)

),

final as (

    select
        other_deliveries._position,
        other_deliveries._batch_id,
        found.session_id is null as is_lost
    from other_deliveries
    left join found on other_deliveries.session_id = found.session_id

)

select * from final
