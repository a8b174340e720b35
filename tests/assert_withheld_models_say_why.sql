with

trainings as (

    select
        model_name,
        training_id,
        is_current,
        max(withheld_reason) as withheld_reason,
        coalesce(bool_or(is_better) and not bool_or(is_worse), false) as is_good
    from {{ ref('ml_model_evaluations') }}
    where metric_name <> 'calibration_error'
    group by model_name, training_id, is_current

),

final as (

    select
        *,
        count(case when is_current then 1 end) over (
            partition by model_name
        ) as current_count
    from trainings

)

-- Only current trainings: earlier ones may have been written before reasons existed.
select * from final
where
    current_count <> 1
    or (is_current and is_good = (withheld_reason is not null))
