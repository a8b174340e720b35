{{
    config(
        unique_key=['entity', '_batch_id'],
        pre_hook='{{ delete_reprocessed_batches() }}',
    )
}}

-- A batch that is settled here is no longer new, so every model that reads new batches
-- is upstream of this one, and a command that leaves one of them out settles nothing.
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
        _batch_id
    from {{ landed_records }}
    where entity not in ('sessions', 'session_items') and {{ is_new_batch() }}

),

sessions as {{ not_materialized() }} (

    select
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        _position,
        _ingested_at,
        _batch_id
    from {{ landed_records }}
    where entity = 'sessions' and {{ is_new_batch() }}

),

session_items as {{ not_materialized() }} (

    select
        case when rejection_reason is null then record_id end as session_id,
        rejection_reason,
        item_number,
        rate_date,
        _position,
        _batch_id
    from {{ landed_records }}
    where entity = 'session_items' and {{ is_new_batch() }}

),

latest_sessions as {{ not_materialized() }} (

    select
        session_id,
        _position,
        _ingested_at
    from {{ ref('int_sessions_latest') }}

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

-- Deliveries that are not those that count. They are few, so only their sessions are
-- looked for.
other_deliveries as (

    select
        sessions.session_id,
        sessions._position,
        sessions._batch_id
    from sessions
    left join latest_sessions
        on
            sessions._ingested_at = latest_sessions._ingested_at
            and sessions._position = latest_sessions._position
    where sessions.rejection_reason is null and latest_sessions._position is null

),

superseded as (

    select
        _position,
        _batch_id
    from other_deliveries
    where session_id in (select latest_sessions.session_id from latest_sessions)

),

lost as (

    select
        other_deliveries._position,
        other_deliveries._batch_id
    from other_deliveries
    left join superseded
        on
            other_deliveries._batch_id = superseded._batch_id
            and other_deliveries._position = superseded._position
    where superseded._batch_id is null

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
        lost._batch_id is null as is_loaded
    from sessions
    left join lost
        on
            sessions._batch_id = lost._batch_id
            and sessions._position = lost._position

),

judged_items as {{ not_materialized() }} (

    select
        session_items.session_id,
        session_items.item_number,
        session_items.rate_date,
        session_items._batch_id,
        session_items.rejection_reason is not null as is_rejected,
        superseded._batch_id is not null as is_superseded
    from session_items
    left join superseded
        on
            session_items._batch_id = superseded._batch_id
            and session_items._position = superseded._position

),

told as {{ not_materialized() }} (

    select
        session_id,
        item_number,
        _batch_id,
        1 as accepted_count,
        0 as sold_count
    from judged_items
    where not is_rejected and not is_superseded

    union all

    select
        session_id,
        item_number,
        _batch_id,
        0 as accepted_count,
        1 as sold_count
    from {{ ref('fact_order_items') }}
    where {{ is_new_batch('sessions') }}

),

-- All items at once take more memory than there is: what is sold of a batch is what was
-- accepted if the checksums are the same.
differing_batches as (

    select _batch_id
    from told
    group by _batch_id
    having
        sum(accepted_count) <> sum(sold_count)
        or sum({{ row_hash(['session_id', 'item_number']) }} * accepted_count)
        <> sum({{ row_hash(['session_id', 'item_number']) }} * sold_count)

),

compared as (

    select
        session_id,
        item_number,
        _batch_id,
        sum(accepted_count) as accepted_count,
        sum(sold_count) as sold_count
    from told
    where _batch_id in (select differing_batches._batch_id from differing_batches)
    group by session_id, item_number, _batch_id

),

found as (

    select
        _batch_id,
        cast(sum(sold_count) as bigint) as item_count
    from compared
    where accepted_count > 0
    group by _batch_id

),

counts as (

    select
        entity,
        _batch_id,
        count(*) as landed_count,
        count(case when is_rejected then 1 end) as rejected_count,
        count(case when is_loaded and not is_rejected then 1 end) as loaded_count,
        cast(null as date) as last_rate_date
    from judged
    group by entity, _batch_id

    union all

    select
        'session_items' as entity,
        judged_items._batch_id,
        count(*) as landed_count,
        count(case when judged_items.is_rejected then 1 end) as rejected_count,
        count(
            case
                when
                    not judged_items.is_rejected
                    and (
                        judged_items.is_superseded
                        or differing_batches._batch_id is null
                    )
                    then 1
            end
        ) + coalesce(max(found.item_count), 0) as loaded_count,
        max(judged_items.rate_date) as last_rate_date
    from judged_items
    left join differing_batches
        on judged_items._batch_id = differing_batches._batch_id
    left join found on judged_items._batch_id = found._batch_id
    group by judged_items._batch_id

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
        '{{ rejection_rules_version() if execute }}' as rules_version,
        {{ 'false' if execute and unselected_readers() else 'true' }} as is_settled,
        counts.last_rate_date,
        {{ batch_ingested_at('read_batches._batch_id') }} as _ingested_at,
        read_batches._batch_id
    from read_batches
    left join counts
        on
            read_batches.entity = counts.entity
            and read_batches._batch_id = counts._batch_id

)

select * from final
