{% set start = 'cast(session_date as timestamp)' %}
{% set end = dbt.dateadd('day', 1, start) %}

with

users as (

    select *
    from {{ ref('dim_users') }}

),

latest_sessions as {{ not_materialized() }} (

    select *
    from {{ ref('int_sessions_latest') }}
    -- Never null. Without this filter DuckDB expects fewer items than sessions, and
    -- would keep the items in memory for the join.
    where session_id is not null

),

-- New sessions, and all sessions of users with new data: another version may have been
-- valid at the purchase, or the time zone may be known now.
sessions as {{ not_materialized() }} (

    select *
    from latest_sessions
    where {{ is_new_batch('sessions') }}

    union all

    select *
    from latest_sessions
    where
        user_id in (
            select users.user_id
            from users
            where {{ is_new_batch('users') }}
        )
        and not ({{ is_new_batch('sessions') }})

),

-- The user version as of each session. A left join, so that a session without one would
-- raise an error and not be lost.
buyers as {{ not_materialized() }} (

    select
        users.user_key,
        users.person_key,
        users.timezone,
        users.has_known_timezone,
        users.valid_from = cast('{{ var("beginning_of_time") }}' as timestamp)
        and coalesce(
            {{ batch_ingested_at('users._batch_id') }} > sessions.session_start_time,
            true
        ) as is_user_version_assumed,
        sessions.session_id,
        coalesce(devices.device_type, 'Unknown') as device_type,
        coalesce(devices.operating_system, 'Unknown') as operating_system,
        coalesce(devices.browser, 'Unknown') as browser,
        sessions.item_count,
        sessions.session_start_time,
        cast(sessions.session_start_time as date) as session_date,
        sessions._position,
        sessions._ingested_at,
        sessions._batch_id
    from sessions
    left join users
        on
            sessions.user_id = users.user_id
            and sessions.session_start_time >= users.valid_from
            and sessions.session_start_time < users.valid_to
    -- With the batch, a build reads only the devices of the batches that it reads.
    left join {{ ref('int_session_devices') }} as devices
        on
            sessions.session_id = devices.session_id
            and sessions._batch_id = devices._batch_id

),

-- If the UTC offset is the same at the start and the end of a day, it is used all day.
-- Converting the time of each session takes as long as computing all keys of its items.
utc_offsets as (

    select
        timezone,
        session_date,
        {{ to_local_time(start, 'timezone') }} - {{ start }} as offset_at_start,
        {{ to_local_time(end, 'timezone') }} - {{ end }} as offset_at_end
    from buyers
    group by timezone, session_date

),

final as (

    select
        buyers.*,
        coalesce(
            case
                when utc_offsets.offset_at_start = utc_offsets.offset_at_end
                    then buyers.session_start_time + utc_offsets.offset_at_start
                else {{ to_local_time('buyers.session_start_time', 'buyers.timezone') }}
            end,
            buyers.session_start_time
        ) as local_time
    from buyers
    left join utc_offsets
        on
            buyers.timezone = utc_offsets.timezone
            and buyers.session_date = utc_offsets.session_date

)

select * from final
