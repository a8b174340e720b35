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
        landed.session_key,
        landed.record_number,
        landed._batch_id
    from {{ ref('int_session_deliveries') }} as landed
    left join rejected_sessions
        on
            landed._batch_id = rejected_sessions._batch_id
            and landed.record_number = rejected_sessions.record_number
    where rejected_sessions._batch_id is null

),

-- Only sessions with several deliveries have to be ranked, and they are few.
redelivered_sessions as (

    select session_key
    from deliveries
    group by session_key
    having count(*) > 1

),

ranked_redeliveries as (

    select
        record_number,
        _batch_id,
        row_number() over (
            partition by session_key order by _batch_id desc, record_number desc
        ) as recency
    from deliveries
    where
        session_key in (
            select redelivered_sessions.session_key from redelivered_sessions
        )

),

excluded_deliveries as (

    select
        _batch_id,
        record_number
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
