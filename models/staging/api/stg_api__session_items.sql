{{ config(tags=['rejection_rules']) }}
{% set price = dbt.safe_cast('item.price', 'decimal(18, 4)') %}
{% set price_as_double = 'cast(' ~ price ~ ' as double)' %}
with

sessions as (

    select
        session_id,
        user_id,
        session_items,
        {{ parse_utc_timestamp('session_start_time') }} as session_start_time,
        _position,
        cast(_ingested_at as timestamp) as _ingested_at,
        _source,
        _batch_id
    from {{ source('api', 'sessions') }}

),

items as (

    select
        sessions.session_id,
        sessions.user_id,
        rejected_sessions.rejection_reason as session_rejection_reason,
        sessions.session_start_time,
        {{ unnest_with_position('sessions.session_items', 'item', '_item_position') }},
        sessions._position,
        sessions._ingested_at,
        sessions._source,
        sessions._batch_id
    from sessions
    left join {{ ref('stg_api__sessions') }} as rejected_sessions
        on
            sessions._batch_id = rejected_sessions._batch_id
            and sessions._position = rejected_sessions._position
            and rejected_sessions.rejection_reason is not null

),

typed_items as (

    select
        session_id,
        user_id,
        cast(_item_position + 1 as integer) as item_number,
        item.song_id as song_id,
        item.song_name as song_name,
        nullif(item.artist_id, '') as artist_id,
        item.artist_name as artist_name,
        coalesce(
            item.price,
            {{ json_number('item._payload', 'price') }},
            -- The loader lands a number that does not fit into a double as text.
            {{ json_number('item._rescued', 'price') }}
        ) as delivered_price,
        -- Null if the cast would round the price. Above 900 billion a double does not
        -- hold four decimals.
        case
            when abs(item.price) < 900000000000 and {{ price_as_double }} = item.price
                then {{ price }}
        end as price,
        upper(trim(item.currency)) as currency,
        item,
        {{ parse_utc_timestamp('item.liked_since') }} as liked_since,
        session_rejection_reason,
        session_start_time,
        item._rescued as _rescued,
        item._payload as _payload,
        _position,
        _ingested_at,
        _source,
        _batch_id
    from items

),

final as (

    select
        session_id,
        user_id,
        song_id,
        artist_id,
        song_name,
        artist_name,
        currency,
        case
            when session_rejection_reason is not null then 'session_rejected'
            when not abs(delivered_price) < cast('Infinity' as double)
                then 'price_not_a_number'
            {{ malformed_record_cases('_payload', [
                'song_id', 'song_name', 'artist_id', 'artist_name', 'currency'
            ]) }}
            when coalesce(song_id, '') = '' then 'missing_key'
            when delivered_price is null then 'missing_price'
            when delivered_price < 0 then 'negative_price'
            when coalesce(currency, '') = '' then 'missing_currency'
            when delivered_price >= 900000000000 then 'absurd_price'
            when price is null then 'price_too_precise'
            when item.liked_since is not null and liked_since is null
                then 'unparsable_timestamp'
        end as rejection_reason,
        item_number,
        price,
        item.liked as liked,
        liked_since,
        session_start_time,
        _rescued,
        coalesce(_payload, {{ to_json_string('item') }}) as _payload,
        _position,
        _ingested_at,
        _source,
        _batch_id
    from typed_items

)

select * from final
