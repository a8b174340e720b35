{#- session_id alone is unique; with date_key, a merge reads only files of that day. -#}
{{
    config(
        unique_key=['session_id', 'date_key'],
        meta={'increment_column': '_batch_id'},
        partitioned_by=['year(session_start_time)', 'month(session_start_time)'],
        post_hook="{{ delete_superseded_rows() }}",
    )
}}

-- The hook reads: {{ ref('int_sessions_latest') }}
with

sessions as (

    select *
    from {{ ref('int_session_buyers') }}

),

final as (

    select
        user_key,
        person_key,
        {{ date_key('session_start_time') }} as date_key,
        {{ date_key('local_time') }} as local_date_key,
        session_id,
        device_type,
        operating_system,
        browser,
        item_count,
        has_known_timezone,
        is_user_version_assumed,
        session_start_time,
        cast(local_time as date) as local_date,
        {{ iso_day_of_week('local_time') }} as local_day_of_week,
        cast(extract(hour from local_time) as integer) as local_hour,
        _batch_id
    from sessions

)

select * from final
