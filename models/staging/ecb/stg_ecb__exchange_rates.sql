{{ config(tags=['rejection_rules']) }}

with

exchange_rates as (

    select
        rate_date,
        currency,
        rate,
        cast(_ingested_at as timestamp) as _ingested_at,
        _source,
        _batch_id
    from {{ source('ecb', 'exchange_rates') }}

),

final as (

    select
        currency,
        case when coalesce(rate, 0) <= 0 then 'invalid_rate' end as rejection_reason,
        rate as units_per_euro,
        rate_date,
        {{ json_object_text(['rate_date', 'currency', 'rate']) }} as _payload,
        _ingested_at,
        _source,
        _batch_id
    from exchange_rates

)

select * from final
