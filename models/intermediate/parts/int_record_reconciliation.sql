{% set landed_records = read_once(ref('int_landed_records')) %}

with

-- What is landed is read where it is needed: DuckDB would keep all of it to read it
-- twice. A text with a NUL must not become a value to look for in the lake.
records as (

    select
        entity,
        case when rejection_reason is null then record_id end as record_id,
        rejection_reason,
        _batch_id
    from {{ landed_records }}
    where entity not in ('sessions', 'session_items') and {{ is_new_batch() }}

),

sessions as {{ not_materialized() }} (

    select
        rejection_reason,
        _position,
        _batch_id
    from {{ landed_records }}
    where entity = 'sessions' and {{ is_new_batch() }}

),

lost_sessions as (

    select
        _position,
        _batch_id
    from {{ ref('int_superseded_deliveries') }}
    where is_lost

),

-- What the lake holds of each kind of record.
held as (

    select distinct
        'users' as entity,
        user_id as record_id
    from {{ ref('dim_users') }}
    where not is_inferred

    union all

    select
        'songs' as entity,
        track_id as record_id
    from {{ ref('dim_songs') }}
    where not is_inferred

    union all

    select
        'exchange_rates' as entity,
        concat(currency, ' ', rate_date) as record_id
    from {{ ref('int_exchange_rates_daily') }}

),

judged as (

    select
        records.entity,
        records._batch_id,
        records.rejection_reason is not null as is_rejected,
        held.record_id is not null
        -- Each list of rates is whole: the newest one replaces what it does not repeat.
        or (
            records.entity = 'exchange_rates'
            and records._batch_id < {{ latest_batch('exchange_rates') if execute }}
        ) as is_loaded
    from records
    left join held
        on records.entity = held.entity and records.record_id = held.record_id

    union all

    select
        'sessions' as entity,
        sessions._batch_id,
        sessions.rejection_reason is not null as is_rejected,
        lost_sessions._batch_id is null as is_loaded
    from sessions
    left join lost_sessions
        on
            sessions._batch_id = lost_sessions._batch_id
            and sessions._position = lost_sessions._position

),

final as (

    select
        entity,
        count(*) as landed_count,
        count(case when is_loaded and not is_rejected then 1 end) as loaded_count,
        count(case when is_rejected then 1 end) as rejected_count,
        _batch_id
    from judged
    group by entity, _batch_id

)

select * from final
