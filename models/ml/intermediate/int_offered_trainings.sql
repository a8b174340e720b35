with

trainings as (

    select
        model_name,
        training_id
    from {{ ref('int_trainings') }}

),

evaluations as (

    select
        model_name,
        training_id,
        any_value(fitted) as fitted
    from {{ ref('ml_model_evaluations') }}
    group by model_name, training_id
    having count(withheld_reason) = 0

),

final as (

    select
        evaluations.model_name,
        evaluations.training_id,
        evaluations.fitted
    from evaluations
    inner join trainings
        on
            evaluations.model_name = trainings.model_name
            and evaluations.training_id = trainings.training_id

)

select * from final
