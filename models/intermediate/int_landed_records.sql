{{ config(materialized='view') }}

with

users as (

    select
        user_id,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_api__users') }}

),

sessions as (

    select
        session_id,
        rejection_reason,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_api__sessions') }}

),

session_items as (

    select
        session_id,
        rejection_reason,
        item_number,
        rate_date,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('int_session_items_priced') }}

),

songs as (

    select
        track_id,
        rejection_reason,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_postgres__songs') }}

),

exchange_rates as (

    select
        concat(currency, ' ', rate_date) as rate_id,
        rejection_reason,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from {{ ref('stg_ecb__exchange_rates') }}

),

final as (

    select
        'users' as entity,
        user_id as record_id,
        rejection_reason,
        null as item_number,
        cast(null as date) as rate_date,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from users

    union all

    select
        'sessions' as entity,
        session_id as record_id,
        rejection_reason,
        null as item_number,
        cast(null as date) as rate_date,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from sessions

    union all

    select
        'session_items' as entity,
        session_id as record_id,
        rejection_reason,
        item_number,
        rate_date,
        _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from session_items

    union all

    select
        'songs' as entity,
        track_id as record_id,
        rejection_reason,
        null as item_number,
        cast(null as date) as rate_date,
        null as _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from songs

    union all

    select
        'exchange_rates' as entity,
        rate_id as record_id,
        rejection_reason,
        null as item_number,
        cast(null as date) as rate_date,
        null as _position,
        _payload,
        _ingested_at,
        _source,
        _batch_id
    from exchange_rates

)

select * from final
