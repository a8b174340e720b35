with

examples as (

    select
        date_role,
        person_key,
        as_of_date,
        has_churned
    from {{ ref('ml_churn_examples') }}
    where is_active and has_churned is not null

),

inputs as (

    select
        person_key,
        as_of_date,
        log_recency,
        log_silence,
        log_tenure,
        log_orders,
        log_orders_90_days,
        log_orders_30_days
    from {{ ref('int_churn_inputs') }}

),

-- The first buyers by a hash are a sample that is the same in each run.
final as (

    select
        examples.date_role,
        inputs.*,
        examples.has_churned
    from examples
    inner join inputs
        on
            examples.as_of_date = inputs.as_of_date
            and examples.person_key = inputs.person_key
    qualify
        row_number() over (
            partition by inputs.as_of_date
            order by hash(inputs.person_key), inputs.person_key
        ) <= 200000

)

select * from final
