{{ config(unique_key='user_key', pre_hook='{{ delete_reread_batches() }}') }}

with

users as (

    select
        user_id,
        user_name,
        user_lastname,
        place_name,
        country_code,
        timezone,
        latitude,
        longitude,
        user_since,
        _version_hash,
        _ingested_at,
        _batch_id
    from {{ ref('stg_api__users') }}
    where rejection_reason is null and {{ is_new_batch('users') }}

),

buyers as (

    select distinct user_id
    from {{ ref('int_sessions_latest') }}
    where {{ is_new_batch('sessions') }}

),

countries as (

    select
        country_code,
        country_name
    from {{ ref('countries') }}

),

{% if is_incremental() %}
    versions_by_age as (

        select
            *,
            row_number() over (partition by user_id order by valid_from desc) as age
        from {{ this }}
        where not is_inferred

    ),

    known as (

        select *
        from versions_by_age
        where age = 1

    ),
{% endif %}

observations as (

    select
        user_id,
        user_name,
        user_lastname,
        place_name,
        country_code,
        timezone,
        latitude,
        longitude,
        user_since,
        cast(null as timestamp) as valid_from,
        _version_hash,
        _batch_id
    from users

    {% if is_incremental() %}
        union all

        select
            user_id,
            user_name,
            user_lastname,
            place_name,
            country_code,
            timezone,
            latitude,
            longitude,
            user_since,
            valid_from,
            _version_hash,
            _batch_id
        from known
        where user_id in (select users.user_id from users)
    {% endif %}

),

compared as (

    select
        *,
        lag(_version_hash) over (
            partition by user_id order by _batch_id
        ) as previous_hash
    from observations

),

changes as (

    select
        *,
        row_number() over (partition by user_id order by _batch_id) as version_number
    from compared
    where _version_hash is distinct from previous_hash

),

-- Nobody knows since when the first version held, so it holds from the beginning.
dated as (

    select
        changes.*,
        coalesce(
            changes.valid_from,
            case
                when changes.version_number = 1
                    then cast('{{ var("beginning_of_time") }}' as timestamp)
                else {{ batch_time('changes._batch_id') }}
            end
        ) as version_from
    from changes

),

versions as (

    select
        *,
        lead(version_from) over (partition by user_id order by version_from)
            as version_to
    from dated

),

-- Bought something and is in no extract yet.
inferred as (

    select user_id
    from buyers
    where
        user_id not in (select users.user_id from users)
    {% if is_incremental() %}
        and user_id not in (select known.user_id from known)
    {% endif %}

),

members as (

    select
        case
            when version_from = cast('{{ var("beginning_of_time") }}' as timestamp)
                then {{ surrogate_key(['user_id']) }}
            else {{ surrogate_key(['user_id', 'version_from']) }}
        end as user_key,
        user_id,
        user_name,
        user_lastname,
        place_name,
        country_code,
        timezone,
        latitude,
        longitude,
        false as is_inferred,
        user_since,
        version_from,
        version_to,
        _version_hash,
        _batch_id
    from versions

    union all

    select
        {{ surrogate_key(['user_id']) }} as user_key,
        user_id,
        null as user_name,
        null as user_lastname,
        null as place_name,
        null as country_code,
        null as timezone,
        null as latitude,
        null as longitude,
        true as is_inferred,
        null as user_since,
        cast('{{ var("beginning_of_time") }}' as timestamp) as version_from,
        null as version_to,
        null as _version_hash,
        null as _batch_id
    from inferred

    union all

    select
        {{ unknown_key() }} as user_key,
        'unknown' as user_id,
        null as user_name,
        null as user_lastname,
        null as place_name,
        null as country_code,
        null as timezone,
        null as latitude,
        null as longitude,
        true as is_inferred,
        null as user_since,
        cast('{{ var("beginning_of_time") }}' as timestamp) as version_from,
        null as version_to,
        null as _version_hash,
        null as _batch_id

),

final as (

    select
        members.user_key,
        members.user_id,
        members.user_name,
        members.user_lastname,
        members.place_name,
        members.country_code,
        coalesce(countries.country_name, 'Unknown') as country_name,
        members.timezone,
        members.latitude,
        members.longitude,
        members.version_to is null as is_current,
        members.is_inferred,
        members.user_since,
        members.version_from as valid_from,
        coalesce(
            members.version_to, cast('{{ var("end_of_time") }}' as timestamp)
        ) as valid_to,
        members._version_hash,
        members._batch_id
    from members
    left join countries on members.country_code = countries.country_code

)

select * from final
