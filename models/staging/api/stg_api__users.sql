{{ config(tags=['rejection_rules', 'cached']) }}

with

users as (

    select
        landed.user_id,
        landed.user_name,
        landed.user_lastname,
        landed.user_location,
        landed.user_since,
        landed._position,
        landed._rescued,
        landed._payload,
        cast(landed._ingested_at as timestamp) as _ingested_at,
        landed._source,
        landed._batch_id,
        {{ array_element('landed.user_location', 1) }} as delivered_latitude,
        {{ array_element('landed.user_location', 2) }} as delivered_longitude,
        {{ array_element('landed.user_location', 3) }} as place_name,
        upper(trim({{ array_element('landed.user_location', 4) }})) as country_code,
        -- In IANA's spelling. Another time zone stays as it was delivered.
        coalesce(timezones.timezone, {{ array_element('landed.user_location', 5) }})
            as timezone
    from {{ source('api', 'users') }} as landed
    left join {{ timezones() }} as timezones
        on
            lower(trim({{ array_element('landed.user_location', 5) }}))
            = lower(timezones.timezone)

),

typed_users as (

    select
        *,
        {{ dbt.safe_cast('delivered_latitude', 'decimal(9, 6)') }} as latitude,
        {{ dbt.safe_cast('delivered_longitude', 'decimal(9, 6)') }} as longitude,
        {{ parse_utc_timestamp('user_since') }} as parsed_since,
        -- Another spelling of a country code or a time zone is no new version.
        {{ surrogate_key([
            'user_name', 'user_lastname',
            to_json_string(text_array([
                'delivered_latitude', 'delivered_longitude', 'place_name',
                'country_code', 'timezone',
            ])),
            'user_since', '_rescued',
        ]) }} as _version_hash,
        {{ json_object_text([
            'user_id', 'user_name', 'user_lastname', 'user_location', 'user_since',
            '_rescued',
        ]) }} as _delivered
    from users

),

validated_users as (

    select
        *,
        case
            {{ malformed_record_cases('_payload', [
                'user_id', 'user_name', 'user_lastname', 'place_name', 'country_code',
                'timezone', 'user_since',
            ]) }}
            when coalesce(user_id, '') = '' then 'missing_key'
            when
                user_location is null
                or {{ array_size('user_location') }} <> 5
                or latitude is null or latitude not between -90 and 90
                or longitude is null or longitude not between -180 and 180
                -- A cast may accept other digits, and underscores between digits.
                or translate(
                    concat(delivered_latitude, delivered_longitude),
                    '0123456789+-.eE ', ''
                ) <> ''
                then 'malformed_location'
            when user_since is not null and parsed_since is null
                then 'unparsable_timestamp'
        end as rejection_reason
    from typed_users

),

final as (

    select
        user_id,
        user_name,
        user_lastname,
        place_name,
        country_code,
        timezone,
        case
            when ({{ conflicts_with_duplicate('user_id') }}) then 'contradicting_twin'
            else rejection_reason
        end as rejection_reason,
        latitude,
        longitude,
        parsed_since as user_since,
        _version_hash,
        _position,
        _rescued,
        coalesce(_payload, _delivered) as _payload,
        _ingested_at,
        _source,
        _batch_id
    from validated_users

)

select * from final
