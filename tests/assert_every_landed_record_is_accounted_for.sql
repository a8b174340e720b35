{% set is_counted = 'true' if tests_all_rows() else is_new_batch() %}
with

batches as (

    {% for entity in ['users', 'sessions', 'songs', 'exchange_rates'] %}
        select
            '{{ entity }}' as entity,
            _batch_id
        from ({{ landed_batches(entity) }}) as landed_{{ entity }}
        union all
    {% endfor %}

    select
        'session_items' as entity,
        _batch_id
    from ({{ landed_batches('sessions') }}) as landed_session_items

),

records as (

    {% for name, entity in [
        ('api', 'users'), ('api', 'sessions'), ('postgres', 'songs'),
        ('ecb', 'exchange_rates'),
    ] %}
        select
            '{{ entity }}' as entity,
            _batch_id,
            count(*) as landed_count
        from {{ source(name, entity) }}
        where {{ is_counted }}
        group by _batch_id
        union all
    {% endfor %}

    select
        'session_items' as entity,
        _batch_id,
        sum(coalesce({{ array_size('session_items') }}, 0)) as landed_count
    from {{ source('api', 'sessions') }}
    where {{ is_counted }}
    group by _batch_id

),

landed as (

    select
        batches.entity,
        batches._batch_id,
        coalesce(records.landed_count, 0) as landed_count
    from batches
    left join records
        on
            batches.entity = records.entity
            and batches._batch_id = records._batch_id

),

reconciled as (

    select
        entity,
        landed_count,
        loaded_count,
        rejected_count,
        _batch_id
    from {{ ref('batch_reconciliation') }}

),

-- Items of a rejected session are in the payload of the session.
rejected as (

    select
        entity,
        _batch_id,
        count(*) as kept_count
    from {{ ref('rejected_records') }}
    where entity <> 'session_items'
    group by entity, _batch_id

),

final as (

    select
        coalesce(landed.entity, reconciled.entity) as entity,
        coalesce(landed._batch_id, reconciled._batch_id) as _batch_id,
        landed.landed_count as landed_in_files,
        reconciled.landed_count,
        reconciled.loaded_count,
        reconciled.rejected_count,
        coalesce(rejected.kept_count, 0) as kept_count
    from landed
    full outer join reconciled
        on
            landed.entity = reconciled.entity
            and landed._batch_id = reconciled._batch_id
    left join rejected
        on
            reconciled.entity = rejected.entity
            and reconciled._batch_id = rejected._batch_id

)

select * from final
where
    (
        landed_in_files is distinct from landed_count
        and {{ is_counted }}
    )
    or landed_count is distinct from loaded_count + rejected_count
    or (entity <> 'session_items' and rejected_count <> kept_count)
