{#- The date is no part of the key, but lets a merge read its files alone. -#}
{{
    config(
        unique_key=['fact_key', 'date_key'],
        meta={'grows_by': '_batch_id'},
        partitioned_by=['year(session_start_time)', 'month(session_start_time)'],
        pre_hook="{{ delete_rejected_items() }}",
        post_hook="{{ delete_superseded_items() }}",
    )
}}

with

sessions as {{ not_materialized() }} (

    select
        session_id,
        user_id,
        session_start_time,
        _position,
        _ingested_at
    from {{ ref('int_sessions_latest') }}
    -- None is null, but with a filter on the items alone DuckDB expects fewer of them
    -- than of these, and would keep them in memory to join.
    where session_id is not null and {{ is_new_batch('sessions') }}

),

session_items as (

    select *
    from {{ read_once(ref('int_session_items_priced')) }}
    where rejection_reason is null and {{ is_new_batch('sessions') }}

),

users as (

    select
        user_key,
        buyer_key,
        user_id,
        timezone,
        has_known_timezone,
        valid_from,
        valid_to,
        _batch_id
    from {{ ref('dim_users') }}

),

-- The user as of the purchase.
bought as {{ not_materialized() }} (

    select
        users.user_key,
        users.buyer_key,
        users.timezone,
        users.has_known_timezone,
        sessions.session_start_time,
        cast(sessions.session_start_time as date) as session_date,
        sessions._position,
        sessions._ingested_at
    from sessions
    -- Each session finds its buyer; one that did not would be an error, not be lost.
    left join users
        on
            sessions.user_id = users.user_id
            and sessions.session_start_time >= users.valid_from
            and sessions.session_start_time < users.valid_to

),

days as (

    select distinct
        timezone,
        session_date,
        cast(session_date as timestamp) as started_at,
        {{ dbt.dateadd('day', 1, 'cast(session_date as timestamp)') }} as ended_at
    from bought

),

-- A clock that is as far off at a day's end as at its start is so in between: asking
-- the time zone of each session takes as long as all keys of its items.
clocks as (

    select
        timezone,
        session_date,
        {{ to_local_time('started_at', 'timezone') }} - started_at as offset_at_start,
        {{ to_local_time('ended_at', 'timezone') }} - ended_at as offset_at_end
    from days

),

buyers as (

    select
        bought.user_key,
        bought.buyer_key,
        bought.has_known_timezone,
        bought._position,
        bought._ingested_at,
        coalesce(
            case
                when clocks.offset_at_start = clocks.offset_at_end
                    then bought.session_start_time + clocks.offset_at_start
                else {{ to_local_time('bought.session_start_time', 'bought.timezone') }}
            end,
            bought.session_start_time
        ) as local_time
    from bought
    left join clocks
        on
            bought.timezone = clocks.timezone
            and bought.session_date = clocks.session_date

),

items as (

    select
        {{ surrogate_key(['session_items.session_id', 'session_items.item_number']) }}
            as fact_key,
        {{ surrogate_key(['session_items.song_id']) }} as song_key,
        buyers.user_key,
        buyers.buyer_key,
        case
            when session_items.artist_id is null then {{ unknown_member_key() }}
            else {{ surrogate_key(['session_items.artist_id']) }}
        end as artist_key,
        {{ date_key('session_items.session_start_time') }} as date_key,
        session_items.session_id,
        session_items.song_id,
        session_items.currency,
        session_items.item_number,
        session_items.price,
        session_items.price_usd,
        session_items.liked,
        buyers.has_known_timezone,
        session_items.liked_since,
        session_items.session_start_time,
        buyers.local_time,
        session_items._batch_id
    from session_items
    -- A batch's time is its own, and far shorter than its id.
    inner join buyers
        on
            session_items._ingested_at = buyers._ingested_at
            and session_items._position = buyers._position

),

{% if is_incremental() %}
    -- What earlier builds loaded of users of whom a new extract tells more: another
    -- version may have been valid at the purchase, or the time zone is known by now.
    changed_users as (

        select distinct user_id
        from users
        where {{ is_new_batch('users') }}

    ),

    retold as (

        select
            held.fact_key,
            held.song_key,
            valid_user.user_key,
            held.buyer_key,
            held.artist_key,
            held.date_key,
            held.session_id,
            held.song_id,
            held.currency,
            held.item_number,
            held.price,
            held.price_usd,
            held.liked,
            valid_user.has_known_timezone,
            held.liked_since,
            held.session_start_time,
            coalesce(
                {{ to_local_time('held.session_start_time', 'valid_user.timezone') }},
                held.session_start_time
            ) as local_time,
            held._batch_id
        from {{ this }} as held
        inner join users as buyer on held.user_key = buyer.user_key
        inner join changed_users on buyer.user_id = changed_users.user_id
        inner join users as valid_user
            on
                buyer.user_id = valid_user.user_id
                and held.session_start_time >= valid_user.valid_from
                and held.session_start_time < valid_user.valid_to
        where held.session_id not in (select sessions.session_id from sessions)

    ),
{% endif %}

told as (

    select * from items
    {% if is_incremental() %}
        union all
        select * from retold
    {% endif %}

),

final as (

    select
        fact_key,
        song_key,
        user_key,
        buyer_key,
        artist_key,
        date_key,
        session_id,
        song_id,
        currency,
        item_number,
        price,
        price_usd,
        liked,
        coalesce(liked_since > session_start_time, false) as has_late_like,
        has_known_timezone,
        liked_since,
        session_start_time,
        cast(local_time as date) as local_date,
        {{ iso_day_of_week('local_time') }} as local_day_of_week,
        cast(extract(hour from local_time) as integer) as local_hour,
        _batch_id
    from told

)

select * from final
