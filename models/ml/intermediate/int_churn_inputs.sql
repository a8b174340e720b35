{{ config(materialized='ephemeral') }}

-- log_silence divides the days since the last order by the mean interval between
-- orders; 7 days more keep the interval above zero.
with

user_features as (

    select
        as_of_date,
        person_key,
        order_count,
        order_count_90_days,
        order_count_30_days,
        recency_days,
        tenure_days
    from {{ ref('ml_user_features') }}

),

final as (

    select
        person_key,
        as_of_date,
        ln(1 + recency_days) as log_recency,
        ln(1 + recency_days * order_count / (tenure_days - recency_days + 7))
            as log_silence,
        ln(1 + tenure_days) as log_tenure,
        ln(1 + order_count) as log_orders,
        ln(1 + order_count_90_days) as log_orders_90_days,
        ln(1 + order_count_30_days) as log_orders_30_days,
        recency_days <= {{ var('churn_days') }} as is_active
    from user_features

)

select * from final
