-- From the files alone, past all that staging makes of them: it is what the star is
-- measured by.
with

sessions as {{ not_materialized() }} (

    select *
    from {{ source('api', 'sessions') }}

),

rejected as (

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
    left join rejected
        on
            sessions._batch_id = rejected._batch_id
            and sessions._position + 1 = rejected.record_number
    where rejected._batch_id is null

),

-- They are few, so only they are compared.
delivered_again as (

    select session_id
    from deliveries
    group by session_id
    having count(*) > 1

),

compared as (

    select
        _position,
        _batch_id,
        row_number() over (
            partition by session_id order by _batch_id desc, _position desc
        ) as recency
    from deliveries
    where session_id in (select delivered_again.session_id from delivered_again)

),

not_counted as (

    select
        _batch_id,
        _position + 1 as record_number
    from compared
    where recency > 1

    union all

    select
        _batch_id,
        record_number
    from rejected

),

final as (

    select
        sessions.session_items,
        {{ parse_utc_timestamp('sessions.session_start_time') }} as session_start_time,
        sessions._position + 1 as record_number,
        sessions._batch_id
    from sessions
    left join not_counted
        on
            sessions._batch_id = not_counted._batch_id
            and sessions._position + 1 = not_counted.record_number
    where not_counted._batch_id is null

)

select * from final
