with

latest as (

    select
        model_name,
        metric_name,
        metric_value,
        baseline_value,
        is_better,
        row_number() over (
            partition by model_name, metric_name order by trained_at desc
        ) as recency
    from {{ ref('ml_model_evaluations') }}

)

select * from latest
where recency = 1 and not is_better
