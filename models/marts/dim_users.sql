{{
    config(
        unique_key='user_key',
        pre_hook='{{ delete_reprocessed_batches() }}',
        post_hook=[
            "{% if has_new_batch('sessions') %}"
            ~ "delete from {{ this }} as loaded_rows where is_inferred and user_id <> ''"
            ~ " and not exists (select * from {{ ref('int_sessions_latest') }} as sessions"
            ~ " where sessions.user_id = loaded_rows.user_id){% endif %}",
        ],
    )
}}

{% set beginning = "cast('" ~ var('beginning_of_time') ~ "' as timestamp)" %}
{% set end = "cast('" ~ var('end_of_time') ~ "' as timestamp)" %}

with

versions as (

    select *
    from {{ ref('int_user_versions') }}

),

changed_users as (

    select user_id
    from versions
    where {{ is_new_batch('users') }}

    {% if is_incremental() %}
        -- The names of countries come from a seed and not from a batch.
        union

        select existing.user_id
        from {{ this }} as existing
        left join {{ ref('countries') }} as countries
            on existing.country_code = countries.country_code
        where
            existing.country_name <> coalesce(countries.country_name, 'Unknown')
            or existing.has_known_country <> (countries.country_name is not null)
    {% endif %}

),

members as (

    select
        user_id,
        valid_from,
        false as is_inferred
    from versions
    where user_id in (select changed_users.user_id from changed_users)

    union all

    -- Inferred members: they bought something and are in no extract yet.
    select distinct
        sessions.user_id,
        {{ beginning }} as valid_from,
        true as is_inferred
    from {{ ref('int_sessions_latest') }} as sessions
    anti join versions on sessions.user_id = versions.user_id
    where {{ is_new_batch('sessions') }}

    union all

    -- The unknown member. Its id is empty, which no record's id is.
    select
        '' as user_id,
        {{ beginning }} as valid_from,
        true as is_inferred

),

final as (

    select
        case
            when members.user_id = '' then {{ unknown_member_key() }}
            when members.valid_from = {{ beginning }}
                then {{ surrogate_key(['members.user_id']) }}
            else {{ surrogate_key(['members.user_id', 'members.valid_from']) }}
        end as user_key,
        case
            when members.user_id = '' then {{ unknown_member_key() }}
            else {{ surrogate_key(['members.user_id']) }}
        end as person_key,
        members.user_id,
        versions.user_name,
        versions.user_lastname,
        versions.place_name,
        versions.country_code,
        coalesce(countries.country_name, 'Unknown') as country_name,
        versions.timezone,
        versions.latitude,
        versions.longitude,
        versions.valid_to is null as is_current,
        countries.country_name is not null as has_known_country,
        timezones.timezone is not null as has_known_timezone,
        members.is_inferred,
        versions.user_since,
        members.valid_from,
        coalesce(versions.valid_to, {{ end }}) as valid_to,
        versions._version_hash,
        versions._batch_id
    from members
    left join versions
        on
            members.user_id = versions.user_id
            and members.valid_from = versions.valid_from
    left join {{ ref('countries') }} as countries
        on versions.country_code = countries.country_code
    left join {{ timezones() }} as timezones
        on versions.timezone = timezones.timezone

)

select * from final
