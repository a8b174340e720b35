with

scores as (

    select churn_probability
    from {{ ref('ml_churn_scores') }}

),

examples as (

    select has_churned
    from {{ ref('int_churn_examples') }}
    where date_role = 'evaluation'

),

-- What is offered learned from buyers as of the evaluation date.
inputs as (

    select
        inputs.*,
        inputs.as_of_date = trainings.evaluation_date as is_learned_from,
        inputs.as_of_date = trainings.scoring_date as is_scored
    from {{ ref('int_churn_inputs') }} as inputs
    cross join {{ ref('int_trainings') }} as trainings
    where inputs.is_active and trainings.model_name = 'churn'

),

means as (

    {%- for input in [
        'log_recency', 'log_orders', 'log_silence', 'log_orders_90_days',
        'log_orders_30_days',
    ] %}
        select
            '{{ input }}' as input_name,
            avg(case when is_learned_from then {{ input }} end) as learned_mean,
            avg(case when is_scored then {{ input }} end) as scored_mean,
            0.5 * stddev(case when is_learned_from then {{ input }} end)
                as most_moved
        from inputs

        union all
    {% endfor %}
    select
        'churn_probability' as input_name,
        (
            select avg(case when examples.has_churned then 1 else 0 end)
            from examples
        ) as learned_mean,
        (select avg(scores.churn_probability) from scores) as scored_mean,
        0.15 as most_moved

),

final as (

    select *
    from means
    where exists (select scores.churn_probability from scores)

)

select * from final
where abs(scored_mean - learned_mean) > most_moved
