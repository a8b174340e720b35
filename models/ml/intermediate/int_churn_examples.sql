with

inputs as (

    select
        buyer_key,
        as_of_date,
        log_recency,
        log_silence,
        log_tenure,
        log_orders,
        log_orders_90_days,
        log_orders_30_days
    from {{ ref('int_churn_inputs') }}
    where is_active

),

as_of_dates as (

    {%- for date_role in ['training', 'evaluation'] %}
        select
            '{{ date_role }}' as date_role,
            {{ date_role }}_date as as_of_date
        from {{ ref('int_trainings') }}
        where model_name = 'churn'
        {%- if not loop.last %}

            union all
        {% endif %}
    {%- endfor %}

),

-- The first buyers by a hash are a sample that is the same in each run.
sampled_inputs as (

    select
        as_of_dates.date_role,
        inputs.*
    from inputs
    inner join as_of_dates on inputs.as_of_date = as_of_dates.as_of_date
    qualify
        row_number() over (
            partition by inputs.as_of_date
            order by hash(inputs.buyer_key), inputs.buyer_key
        ) <= 200000

),

later_buyers as (

    select distinct
        as_of_dates.as_of_date,
        orders.buyer_key
    from {{ ref('fact_orders') }} as orders
    inner join as_of_dates
        on
            orders.session_start_time >= as_of_dates.as_of_date
            and orders.session_start_time
            < as_of_dates.as_of_date + {{ var('churn_days') }}

),

final as (

    select
        sampled_inputs.*,
        later_buyers.buyer_key is null as has_churned
    from sampled_inputs
    left join later_buyers
        on
            sampled_inputs.as_of_date = later_buyers.as_of_date
            and sampled_inputs.buyer_key = later_buyers.buyer_key

)

select * from final
