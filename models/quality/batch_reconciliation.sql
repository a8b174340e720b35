{{
    config(
        unique_key=['entity', '_batch_id'],
        pre_hook='{{ delete_reprocessed_batches() }}',
    )
}}

-- A batch that is settled here is no longer new. So every model that reads new batches
-- is upstream of this one, and a command without one of them settles nothing.
-- depends_on: {{ ref('int_songs_latest') }}, {{ ref('int_songs_sold') }}
-- depends_on: {{ ref('int_user_versions') }}, {{ ref('dim_artists') }}
-- depends_on: {{ ref('rejected_records') }}, {{ ref('revenue_reconciliation') }}
-- depends_on: {{ ref('int_landed_revenue_by_batch') }}, {{ ref('fact_sessions') }}
with

counts as (

    select
        entity,
        landed_count,
        loaded_count,
        rejected_count,
        cast(null as date) as last_rate_date,
        _batch_id
    from {{ ref('int_record_reconciliation') }}

    union all

    select
        'session_items' as entity,
        landed_count,
        loaded_count,
        rejected_count,
        last_rate_date,
        _batch_id
    from {{ ref('int_session_item_reconciliation') }}

),

-- Empty batches are included.
new_batches as (

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
        new_batches.entity,
        coalesce(counts.landed_count, 0) as landed_count,
        coalesce(counts.loaded_count, 0) as loaded_count,
        coalesce(counts.rejected_count, 0) as rejected_count,
        coalesce(counts.landed_count - counts.loaded_count - counts.rejected_count, 0)
            as missing_count,
        '{{ rejection_rules_version() if execute }}' as rules_version,
        {{ 'false' if execute and unselected_readers() else 'true' }} as is_settled,
        counts.last_rate_date,
        {{ batch_ingested_at('new_batches._batch_id') }} as _ingested_at,
        new_batches._batch_id
    from new_batches
    left join counts
        on
            new_batches.entity = counts.entity
            and new_batches._batch_id = counts._batch_id

)

select * from final
