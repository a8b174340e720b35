{{
    config(
        unique_key=['entity', '_batch_id'],
        pre_hook='{{ delete_reread_batches() }}',
    )
}}

-- Once a batch is settled here it is no longer new, so every model that reads new
-- batches comes before this one.
-- depends_on: {{ ref('int_songs_latest') }}, {{ ref('int_songs_sold') }}
-- depends_on: {{ ref('int_user_versions') }}, {{ ref('dim_artists') }}
-- depends_on: {{ ref('rejected_records') }}, {{ ref('revenue_reconciliation') }}
-- depends_on: {{ ref('int_landed_revenue_remembered') }}
{% set landed_records = read_once(ref('int_landed_records')) %}
with

-- What is landed is read where it is needed: DuckDB would keep all of it to read it
-- twice. A text with a NUL must not become a value to look for in the lake.
records as (

    select
        entity,
        case when rejection_reason is null then record_id end as record_id,
        rejection_reason,
        awaits_exchange_rate,
        _batch_id
    from {{ landed_records }}
    where entity <> 'session_items' and {{ is_new_batch() }}

),

session_items as (

    select
        entity,
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        item_number,
        awaits_exchange_rate,
        _position,
        _batch_id
    from {{ landed_records }}
    where entity = 'session_items' and {{ is_new_batch() }}

),

-- Deliveries of sessions that are not those that count.
superseded as (

    select
        sessions._position,
        sessions._batch_id
    from {{ landed_records }} as sessions
    inner join {{ ref('int_sessions_latest') }} as latest_sessions
        on sessions.record_id = latest_sessions.session_id
    where
        sessions.entity = 'sessions'
        and sessions.rejection_reason is null
        and {{ is_new_batch(column='sessions._batch_id') }}
        and (
            sessions._batch_id <> latest_sessions._batch_id
            or sessions._position <> latest_sessions._position
        )

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

    union all

    select
        'sessions' as entity,
        session_id as record_id
    from {{ ref('int_sessions_latest') }}

),

sold as (

    select
        session_id,
        item_number
    from {{ ref('fact_order_items') }}
    where {{ is_new_batch('sessions') }}

),

judged as (

    select
        records.entity,
        records.awaits_exchange_rate,
        records._batch_id,
        records.rejection_reason is not null as is_rejected,
        held.record_id is not null as is_loaded
    from records
    left join held
        on records.entity = held.entity and records.record_id = held.record_id

    union all

    select
        session_items.entity,
        session_items.awaits_exchange_rate,
        session_items._batch_id,
        session_items.rejection_reason is not null as is_rejected,
        sold.session_id is not null or superseded._batch_id is not null as is_loaded
    from session_items
    left join superseded
        on
            session_items._batch_id = superseded._batch_id
            and session_items._position = superseded._position
    left join sold
        on
            session_items.session_id = sold.session_id
            and session_items.item_number = sold.item_number

),

counts as (

    select
        entity,
        _batch_id,
        count(*) as landed_count,
        count(case when is_rejected then 1 end) as rejected_count,
        count(case when is_loaded and not is_rejected then 1 end) as loaded_count,
        bool_or(awaits_exchange_rate) as awaits_exchange_rates
    from judged
    group by entity, _batch_id

),

-- An empty batch has been read too.
read_batches as (

    {% for entity in [
        'users', 'sessions', 'session_items', 'songs', 'exchange_rates'
    ] %}
        {% set landed_as = 'sessions' if entity == 'session_items' else entity %}
        select
            '{{ entity }}' as entity,
            landed._batch_id
        from ({{ landed_batches(landed_as) }}) as landed
        where {{ is_new_batch(landed_as) }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

final as (

    select
        read_batches.entity,
        coalesce(counts.landed_count, 0) as landed_count,
        coalesce(counts.loaded_count, 0) as loaded_count,
        coalesce(counts.rejected_count, 0) as rejected_count,
        coalesce(counts.landed_count - counts.loaded_count - counts.rejected_count, 0)
            as missing_count,
        coalesce(counts.awaits_exchange_rates, false) as awaits_exchange_rates,
        {{ latest_batch('exchange_rates') if execute }} as exchange_rates_batch_id,
        '{{ rules_version() if execute }}' as rules_version,
        {{ batch_time('read_batches._batch_id') }} as _ingested_at,
        read_batches._batch_id
    from read_batches
    left join counts
        on
            read_batches.entity = counts.entity
            and read_batches._batch_id = counts._batch_id

)

select * from final
