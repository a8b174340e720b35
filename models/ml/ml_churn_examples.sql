{{ config(materialized='incremental') }}

with

user_features as (

    select
        as_of_date,
        person_key,
        order_count,
        order_count_90_days,
        order_count_30_days,
        item_count,
        artist_count,
        revenue_usd,
        recency_days,
        tenure_days,
        like_rate,
        night_share,
        morning_share,
        afternoon_share,
        evening_share,
        weekend_share
    from {{ ref('ml_user_features') }}

),

as_of_dates as (

    {%- for date_role in ['training', 'evaluation'] %}
        select
            '{{ date_role }}' as date_role,
            {{ date_role }}_date as as_of_date,
            training_id
        from {{ ref('int_trainings') }}
        where model_name = 'churn'
        {%- if is_incremental() %}
            and training_id not in (select training_id from {{ this }})
        {%- endif %}
        {%- if not loop.last %}

            union all
        {% endif %}
    {%- endfor %}

),

orders as (

    select
        person_key,
        session_start_time
    from {{ ref('fact_orders') }}

),

last_days as (

    select cast(max(session_start_time) as date) as last_date
    from orders

),

later_buyers as (

    select distinct
        as_of_dates.as_of_date,
        orders.person_key
    from orders
    inner join as_of_dates
        on
            orders.session_start_time >= as_of_dates.as_of_date
            and orders.session_start_time
            < as_of_dates.as_of_date + {{ var('churn_days') }}

),

final as (

    select
        user_features.*,
        as_of_dates.date_role,
        as_of_dates.training_id,
        user_features.recency_days <= {{ var('churn_days') }} as is_active,
        case
            when as_of_dates.as_of_date + {{ var('churn_days') }} <= last_days.last_date
                then later_buyers.person_key is null
        end as has_churned
    from user_features
    inner join as_of_dates on user_features.as_of_date = as_of_dates.as_of_date
    cross join last_days
    left join later_buyers
        on
            user_features.as_of_date = later_buyers.as_of_date
            and user_features.person_key = later_buyers.person_key

)

select * from final
