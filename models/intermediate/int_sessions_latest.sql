{{ config(unique_key='session_id', meta={'increment_column': '_batch_id'}) }}

with

sessions as {{ not_materialized() }} (

    select
        session_id,
        user_id,
        user_agent,
        item_count,
        session_start_time,
        _version_hash,
        _position,
        _ingested_at,
        _batch_id
    from {{ cached_view(ref('stg_api__sessions')) }}
    where rejection_reason is null and {{ is_new_batch('sessions') }}

),

deliveries as {{ not_materialized() }} (

    select * from sessions
    {% if is_incremental() %}
        union all
        select *
        from {{ this }}
        where
            {{ in_list('_batch_id', redelivered_batches()) }}
            and session_id in (select sessions.session_id from sessions)
    {% endif %}

),

-- Only sessions with several deliveries have to be compared, and they are few.
redelivered_sessions as (

    select session_id
    from deliveries
    group by session_id
    having count(*) > 1

),

redeliveries as (

    select
        *,
        lag(_version_hash) over (
            partition by session_id order by _batch_id, _position
        ) as previous_hash
    from deliveries
    where
        session_id in (select redelivered_sessions.session_id from redelivered_sessions)

),

-- An unchanged redelivery is no new version.
versions as (

    select
        *,
        row_number() over (
            partition by session_id order by _batch_id desc, _position desc
        ) as recency
    from redeliveries
    where _version_hash is distinct from previous_hash

),

final as (

    select
        session_id,
        user_id,
        user_agent,
        item_count,
        session_start_time,
        _version_hash,
        _position,
        _ingested_at,
        _batch_id
    from versions
    where recency = 1

    union all

    select deliveries.*
    from deliveries
    anti join redelivered_sessions
        on deliveries.session_id = redelivered_sessions.session_id

)

select * from final
