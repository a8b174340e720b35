{% set landed_records = cached_view(ref('int_landed_records')) %}

with

-- Landed records are read twice, because DuckDB would materialize a shared CTE.
-- Rejected ids become null: DuckLake cannot prune files by an id with a NUL byte.
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

loaded_records as (

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

checked_records as (

    select
        records.entity,
        records._batch_id,
        records.rejection_reason is not null as is_rejected,
        loaded_records.record_id is not null
        -- The newest list of rates replaces all rates of older lists.
        or (
            records.entity = 'exchange_rates'
            and records._batch_id < {{ latest_batch('exchange_rates') if execute }}
        ) as is_loaded
    from records
    left join loaded_records
        on
            records.entity = loaded_records.entity
            and records.record_id = loaded_records.record_id

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
    from checked_records
    group by entity, _batch_id

)

select * from final
