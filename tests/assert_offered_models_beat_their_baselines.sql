with

offered as (

    select distinct
        'churn' as model_name,
        training_id
    from {{ ref('ml_churn_scores') }}

    union all

    select distinct
        'song_recommendations' as model_name,
        training_id
    from {{ ref('ml_song_factors') }}

    union all

    -- Best-sellers have no score and need no model.
    select distinct
        'song_recommendations' as model_name,
        training_id
    from {{ ref('ml_song_recommendations') }}
    where score is not null

),

evaluations as (

    select
        model_name,
        training_id,
        metric_name,
        metric_value,
        baseline_value,
        withheld_reason
    from {{ ref('ml_model_evaluations') }}

),

final as (

    select
        offered.model_name,
        offered.training_id,
        evaluations.metric_name,
        evaluations.metric_value,
        evaluations.baseline_value,
        evaluations.withheld_reason
    from offered
    left join evaluations
        on
            offered.model_name = evaluations.model_name
            and offered.training_id = evaluations.training_id

)

select * from final
where
    withheld_reason is not null
    -- Computed here and not taken from is_better, which the model itself writes.
    or not coalesce(
        case
            when metric_name in ('brier_score', 'calibration_error')
                then metric_value < baseline_value
            else metric_value > baseline_value
        end,
        false
    )
