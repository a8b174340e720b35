{{
    config(
        unique_key=['entity', '_batch_id'],
        pre_hook='{{ delete_reread_batches() }}',
    )
}}

-- Once a batch is settled here it is no longer new, so every model that reads new
-- batches comes before this one.
-- depends_on: {{ ref('int_songs_latest') }}, {{ ref('dim_artists') }}
-- depends_on: {{ ref('dim_date') }}, {{ ref('rejected_records') }}
-- depends_on: {{ ref('revenue_reconciliation') }}
with

landed as (

    {% for entity in ['users', 'sessions', 'songs', 'exchange_rates'] %}
        select
            '{{ entity }}' as entity,
            _batch_id
        from ({{ landed_batches(entity) }}) as batches
        where {{ is_new_batch(entity) }}
        union all
    {% endfor %}

    select
        'session_items' as entity,
        _batch_id
    from ({{ landed_batches('sessions') }}) as batches
    where {{ is_new_batch('sessions') }}

),

users as (

    select
        user_id,
        rejection_reason,
        _batch_id
    from {{ ref('stg_api__users') }}
    where {{ is_new_batch('users') }}

),

sessions as (

    select
        session_id,
        rejection_reason,
        _position,
        _batch_id
    from {{ ref('stg_api__sessions') }}
    where {{ is_new_batch('sessions') }}

),

session_items as (

    select
        session_id,
        rejection_reason,
        awaits_exchange_rate,
        _position,
        _batch_id
    from {{ ref('int_session_items_priced') }}
    where {{ is_new_batch('sessions') }}

),

songs as (

    select
        track_id,
        rejection_reason,
        _batch_id
    from {{ ref('stg_postgres__songs') }}
    where {{ is_new_batch('songs') }}

),

exchange_rates as (

    select
        currency,
        rate_date,
        rejection_reason,
        _batch_id
    from {{ ref('stg_ecb__exchange_rates') }}
    where {{ is_new_batch('exchange_rates') }}

),

known_users as (

    select distinct user_id
    from {{ ref('dim_users') }}
    where not is_inferred

),

known_songs as (

    select track_id
    from {{ ref('dim_songs') }}
    where not is_inferred

),

latest_sessions as (

    select
        session_id,
        _position,
        _batch_id
    from {{ ref('int_sessions_latest') }}

),

known_rates as (

    select
        currency,
        rate_date
    from {{ ref('int_exchange_rates_daily') }}

),

-- Sold, by the batch that delivered the version that counts.
facts as (

    select
        _batch_id,
        count(*) as fact_count
    from {{ ref('fact_order_items') }}
    where {{ is_new_batch('sessions') }}
    group by _batch_id

),

user_records as (

    select
        'users' as entity,
        users._batch_id,
        users.rejection_reason is not null as is_rejected,
        known_users.user_id is not null as is_loaded,
        false as awaits_exchange_rate
    from users
    left join known_users on users.user_id = known_users.user_id

),

session_records as (

    select
        'sessions' as entity,
        sessions._batch_id,
        sessions.rejection_reason is not null as is_rejected,
        latest_sessions.session_id is not null as is_loaded,
        false as awaits_exchange_rate
    from sessions
    left join latest_sessions on sessions.session_id = latest_sessions.session_id

),

song_records as (

    select
        'songs' as entity,
        songs._batch_id,
        songs.rejection_reason is not null as is_rejected,
        known_songs.track_id is not null as is_loaded,
        false as awaits_exchange_rate
    from songs
    left join known_songs on songs.track_id = known_songs.track_id

),

exchange_rate_records as (

    select
        'exchange_rates' as entity,
        exchange_rates._batch_id,
        exchange_rates.rejection_reason is not null as is_rejected,
        known_rates.currency is not null as is_loaded,
        false as awaits_exchange_rate
    from exchange_rates
    left join known_rates
        on
            exchange_rates.currency = known_rates.currency
            and exchange_rates.rate_date = known_rates.rate_date

),

item_counts as (

    select
        session_items._batch_id,
        count(*) as landed_count,
        count(session_items.rejection_reason) as rejected_count,
        -- Of another delivery of the session if not of this one.
        count(case
            when
                session_items.rejection_reason is null
                and session_items._batch_id = latest_sessions._batch_id
                and session_items._position = latest_sessions._position
                then 1
        end) as expected_count,
        bool_or(session_items.awaits_exchange_rate) as awaits_exchange_rates
    from session_items
    left join latest_sessions
        on session_items.session_id = latest_sessions.session_id
    group by session_items._batch_id

),

records as (

    select * from user_records
    union all
    select * from session_records
    union all
    select * from song_records
    union all
    select * from exchange_rate_records

),

record_counts as (

    select
        entity,
        _batch_id,
        count(*) as landed_count,
        count(case when is_rejected then 1 end) as rejected_count,
        count(case when not is_rejected and not is_loaded then 1 end) as missing_count,
        false as awaits_exchange_rates
    from records
    group by entity, _batch_id

),

counts as (

    select * from record_counts

    union all

    select
        'session_items' as entity,
        item_counts._batch_id,
        item_counts.landed_count,
        item_counts.rejected_count,
        item_counts.expected_count - coalesce(facts.fact_count, 0) as missing_count,
        item_counts.awaits_exchange_rates
    from item_counts
    left join facts on item_counts._batch_id = facts._batch_id

),

-- An empty batch has been read too.
reconciled as (

    select
        landed.entity,
        landed._batch_id,
        coalesce(counts.landed_count, 0) as landed_count,
        coalesce(counts.rejected_count, 0) as rejected_count,
        coalesce(counts.missing_count, 0) as missing_count,
        coalesce(counts.awaits_exchange_rates, false) as awaits_exchange_rates
    from landed
    left join counts
        on
            landed.entity = counts.entity
            and landed._batch_id = counts._batch_id

),

final as (

    select
        entity,
        landed_count,
        landed_count - rejected_count - missing_count as loaded_count,
        rejected_count,
        missing_count,
        awaits_exchange_rates,
        {{ latest_batch('exchange_rates') if execute }} as exchange_rates_batch_id,
        '{{ rules_version() if execute }}' as rules_version,
        {{ batch_time('_batch_id') }} as _ingested_at,
        _batch_id
    from reconciled

)

select * from final
