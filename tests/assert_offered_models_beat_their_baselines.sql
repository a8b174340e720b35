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
    from {{ ref('ml_similar_songs') }}

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
        -- Computed here and not taken from is_better and is_worse, which the model
        -- itself writes.
        case
            when metric_name = 'brier_score' then baseline_value - metric_value
            else metric_value - baseline_value
        end as advantage,
        case
            when metric_name = 'brier_score' then -difference_low
            else difference_high
        end as highest_advantage,
        withheld_reason
    from {{ ref('ml_model_evaluations') }}
    where metric_name <> 'calibration_error'

),

final as (

    select
        offered.model_name,
        offered.training_id,
        max(evaluations.advantage) as best_advantage,
        min(coalesce(evaluations.highest_advantage, -1)) as worst_advantage,
        max(evaluations.withheld_reason) as withheld_reason
    from offered
    left join evaluations
        on
            offered.model_name = evaluations.model_name
            and offered.training_id = evaluations.training_id
    group by offered.model_name, offered.training_id

)

select * from final
where
    withheld_reason is not null
    or worst_advantage < 0
    or not coalesce(best_advantage > 0, false)
