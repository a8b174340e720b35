{% set start = 'cast(session_date as timestamp)' %}
{% set end = dbt.dateadd('day', 1, start) %}

with

users as (

    select *
    from {{ ref('dim_users') }}

),

latest_sessions as {{ not_materialized() }} (

    select
        session_id,
        user_id,
        session_start_time,
        _position,
        _ingested_at,
        _batch_id
    from {{ ref('int_sessions_latest') }}
    -- None is null, but with a filter on the items alone DuckDB expects fewer of them
    -- than of these, and would keep them in memory to join.
    where session_id is not null

),

-- Of users of whom a new extract tells more, all: another version may have been valid
-- at the purchase, or the time zone is known by now.
sessions as {{ not_materialized() }} (

    select
        *,
        true as is_new
    from latest_sessions
    where {{ is_new_batch('sessions') }}

    union all

    select
        *,
        false as is_new
    from latest_sessions
    where
        user_id in (
            select users.user_id
            from users
            where {{ is_new_batch('users') }}
        )
        and not ({{ is_new_batch('sessions') }})

),

-- The user as of the purchase. Each session finds its buyer; one that did not would be
-- an error, not be lost.
bought as {{ not_materialized() }} (

    select
        users.user_key,
        users.buyer_key,
        users.timezone,
        users.has_known_timezone,
        sessions.session_id,
        sessions.session_start_time,
        cast(sessions.session_start_time as date) as session_date,
        sessions.is_new,
        sessions._position,
        sessions._ingested_at
    from sessions
    left join users
        on
            sessions.user_id = users.user_id
            and sessions.session_start_time >= users.valid_from
            and sessions.session_start_time < users.valid_to

),

-- A clock that is as far off at a day's end as at its start is so in between: asking
-- the time zone of each session takes as long as all keys of its items.
clocks as (

    select
        timezone,
        session_date,
        {{ to_local_time(start, 'timezone') }} - {{ start }} as offset_at_start,
        {{ to_local_time(end, 'timezone') }} - {{ end }} as offset_at_end
    from bought
    group by timezone, session_date

),

final as (

    select
        bought.user_key,
        bought.buyer_key,
        bought.session_id,
        bought.has_known_timezone,
        bought.is_new,
        coalesce(
            case
                when clocks.offset_at_start = clocks.offset_at_end
                    then bought.session_start_time + clocks.offset_at_start
                else {{ to_local_time('bought.session_start_time', 'bought.timezone') }}
            end,
            bought.session_start_time
        ) as local_time,
        bought._position,
        bought._ingested_at
    from bought
    left join clocks
        on
            bought.timezone = clocks.timezone
            and bought.session_date = clocks.session_date

)

select * from final
