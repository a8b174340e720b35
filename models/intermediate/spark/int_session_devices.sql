{{ config(unique_key='session_id') }}

-- The same model in SQL, because dbt-spark runs no Python model in its own session. Each
-- executor runs the script; as hexadecimal digits, a user agent has neither tabs nor line breaks.
-- Reads: {{ ref('int_sessions_latest') }}
with

-- A pre-hook, in the YAML file, creates the view.
sessions as (

    select
        session_id,
        user_agent,
        _batch_id
    from new_sessions

),

user_agents as (

    select distinct hex(user_agent) as encoded_agent
    from sessions
    where user_agent is not null

),

devices as (

    select transform(encoded_agent)
        row format delimited fields terminated by '\t'
        using '{{ device_script() }}'
        as (encoded_agent string, device_type string, operating_system string,
            browser string)
        row format delimited fields terminated by '\t'
    from user_agents

),

final as (

    select
        sessions.session_id,
        coalesce(devices.device_type, 'Unknown') as device_type,
        coalesce(devices.operating_system, 'Unknown') as operating_system,
        coalesce(devices.browser, 'Unknown') as browser,
        sessions._batch_id
    from sessions
    left join devices on hex(sessions.user_agent) = devices.encoded_agent

)

select * from final
