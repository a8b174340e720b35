{{ config(materialized='incremental') }}

with

final as (

    select
        person_key,
        as_of_date,
        churn_probability,
        training_id
    from {{ ref('ml_churn_scores') }}
    where is_active
    {%- if is_incremental() %}
        and training_id not in (select training_id from {{ this }})
    {%- endif %}

)

select * from final
