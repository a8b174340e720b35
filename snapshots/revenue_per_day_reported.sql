-- In SQL, because dbt's partial parsing loses a snapshot that is defined in YAML.
{% snapshot revenue_per_day_reported %}

{{
    config(
        unique_key='date_key',
        strategy='check',
        check_cols=['revenue_usd', 'item_count', 'order_count'],
        hard_deletes='invalidate',
    )
}}

    select
        date_key,
        date,
        revenue_usd,
        item_count,
        order_count,
        batch_ids,
        (
            select max(batches._batch_id)
            from {{ ref('batch_reconciliation') }} as batches
            where batches.entity = 'exchange_rates'
        ) as exchange_rates_batch_id
    from {{ ref('revenue_per_day_vw') }}

{% endsnapshot %}
