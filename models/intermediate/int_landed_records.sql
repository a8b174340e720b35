{{ config(materialized='view') }}

-- Rows of Postgres and of the ECB have no position.
{% set entities = [
    ('users', ref('stg_api__users'), 'user_id', true),
    ('sessions', ref('stg_api__sessions'), 'session_id', true),
    ('session_items', ref('int_session_items_priced'), 'session_id', true),
    ('songs', ref('stg_postgres__songs'), 'track_id', false),
    (
        'exchange_rates',
        ref('stg_ecb__exchange_rates'),
        "concat(currency, ' ', rate_date)",
        false,
    ),
] %}

with

final as (

    {% for entity, records, record_id, has_position in entities %}
        {% set is_item = entity == 'session_items' %}
        select
            '{{ entity }}' as entity,
            {{ record_id }} as record_id,
            rejection_reason,
            {{ 'item_number' if is_item else 'null' }} as item_number,
            {{ 'rate_date' if is_item else 'cast(null as date)' }} as rate_date,
            {{ '_position' if has_position else 'null' }} as _position,
            _payload,
            _ingested_at,
            _source,
            _batch_id
        from {{ records }}
        {% if not loop.last %}union all{% endif %}
    {% endfor %}

)

select * from final
