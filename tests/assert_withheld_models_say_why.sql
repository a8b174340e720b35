with

trainings as (

    select
        model_name,
        training_id,
        is_current,
        max(withheld_reason) as withheld_reason,
        count(case when is_better then 1 end) as better_count,
        count(*) as metric_count
    from {{ ref('ml_model_evaluations') }}
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
    or (is_current and withheld_reason is null and better_count < metric_count)
    or (is_current and withheld_reason is not null and better_count = metric_count)
