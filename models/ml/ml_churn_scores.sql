{{ config(materialized='incremental') }}

{#- Each input, and how its value reads. -#}
{% set inputs = {
    'log_recency': 'days since the last order: {:.0f}',
    'log_orders': 'orders so far: {:.0f}',
    'log_silence': 'usual intervals since the last order: {:.1f}',
    'log_tenure': 'days since the first order: {:.0f}',
    'log_orders_90_days': 'orders in 90 days: {:.0f}',
    'log_orders_30_days': 'orders in 30 days: {:.0f}',
} %}

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

-- A contribution is what an input adds to the log-odds of the average active buyer.
scored_inputs as (

    select
        latest_inputs.*,
        cast(trainings.fitted ->> 'intercept' as double)
        {%- for input in inputs %}
            + cast(trainings.fitted ->> '{{ input }}' as double)
            * latest_inputs.{{ input }}
        {%- endfor %} as log_odds,
        {%- for input in inputs %}
            cast(trainings.fitted ->> '{{ input }}' as double)
            * (
                latest_inputs.{{ input }}
                - avg(latest_inputs.{{ input }})
                filter (where latest_inputs.is_active) over ()
            ) as {{ input }}_contribution,
        {%- endfor %}
        trainings.training_id
    from latest_inputs
    cross join trainings

),

reasons as (

    select
        *,
        list_reverse_sort([
            {%- for input, words in inputs.items() %}
                {
                    'size': abs({{ input }}_contribution),
                    'words': format(
                        '{{ words }} ({:+.2f})', exp({{ input }}) - 1,
                        {{ input }}_contribution
                    )
                }{{ ',' if not loop.last }}
            {%- endfor %}
        ])[:3] as reasons
    from scored_inputs

),

final as (

    select
        person_key,
        as_of_date,
        case
            when is_active
                then array_to_string(
                    list_transform(reasons, lambda reason: reason.words), '; '
                )
        end as reasons,
        case when is_active then 1 / (1 + exp(-log_odds)) end as churn_probability,
        is_active,
        training_id
    from reasons

)

select * from final
