{% set is_compared = 'true' if tests_all_rows() else is_new_batch() %}
with

accepted_and_loaded as (

    select
        session_id,
        item_count,
        session_start_time,
        _batch_id,
        1 as accepted_count,
        0 as loaded_count
    from {{ ref('int_sessions_latest') }}
    where {{ is_compared }}

    union all

    select
        session_id,
        item_count,
        session_start_time,
        _batch_id,
        0 as accepted_count,
        1 as loaded_count
    from {{ ref('fact_sessions') }}
    where {{ is_compared }}

),

final as (

    select
        session_id,
        sum(accepted_count) as accepted_count,
        sum(loaded_count) as loaded_count
    from accepted_and_loaded
    group by session_id, item_count, session_start_time, _batch_id

)

select * from final
where accepted_count <> 1 or loaded_count <> 1
