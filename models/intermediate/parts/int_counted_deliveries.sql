-- Reads the landed files and not staging, because it is part of an independent check of
-- the star. So it repeats the rule of int_sessions_latest.
with

sessions as {{ not_materialized() }} (

    select *
    from {{ source('api', 'sessions') }}

),

rejected_sessions as (

    select
        record_number,
        _batch_id
    from {{ ref('rejected_records') }}
    where entity = 'sessions'

),

deliveries as (

    select
        sessions.session_id,
        sessions._position,
        sessions._batch_id
    from sessions
    left join rejected_sessions
        on
            sessions._batch_id = rejected_sessions._batch_id
            and sessions._position + 1 = rejected_sessions.record_number
    where rejected_sessions._batch_id is null

),

-- Only sessions with several deliveries have to be ranked, and they are few.
redelivered_sessions as (

    select session_id
    from deliveries
    group by session_id
    having count(*) > 1

),

ranked_redeliveries as (

    select
        _position,
        _batch_id,
        row_number() over (
            partition by session_id order by _batch_id desc, _position desc
        ) as recency
    from deliveries
    where
        session_id in (select redelivered_sessions.session_id from redelivered_sessions)

),

excluded_deliveries as (

    select
        _batch_id,
        _position + 1 as record_number
    from ranked_redeliveries
    where recency > 1

    union all

    select
        _batch_id,
        record_number
    from rejected_sessions

),

final as (

    select
        sessions.session_items,
        {{ parse_utc_timestamp('sessions.session_start_time') }} as session_start_time,
        sessions._position + 1 as record_number,
        sessions._batch_id
    from sessions
    left join excluded_deliveries
        on
            sessions._batch_id = excluded_deliveries._batch_id
            and sessions._position + 1 = excluded_deliveries.record_number
    where excluded_deliveries._batch_id is null

)

select * from final
