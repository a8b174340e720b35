{{ config(materialized='incremental') }}

{% set inputs = [
    'log_recency', 'log_silence', 'log_tenure', 'log_orders', 'log_orders_90_days',
    'log_orders_30_days', 'log_items',
] %}

with

trainings as (

    select
        training_id,
        fitted
    from {{ ref('int_offered_trainings') }}
    where model_name = 'churn'
    {%- if is_incremental() %}
        and training_id not in (select training_id from {{ this }})
    {%- endif %}

),

latest_inputs as (

    select *
    from {{ ref('int_churn_inputs') }}
    qualify as_of_date = max(as_of_date) over ()

),

log_odds as (

    select
        latest_inputs.buyer_key,
        latest_inputs.as_of_date,
        cast(trainings.fitted ->> 'intercept' as double)
        {%- for input in inputs %}
            + cast(trainings.fitted ->> '{{ input }}' as double)
            * latest_inputs.{{ input }}
        {%- endfor %} as log_odds,
        trainings.training_id
    from latest_inputs
    cross join trainings

),

final as (

    select
        buyer_key,
        as_of_date,
        1 / (1 + exp(-log_odds)) as churn_probability,
        training_id
    from log_odds

)

select * from final
