with

orders as (

    select
        month_date,
        buyer_count,
        retained_so_far_count,
        churned_so_far_count
    from {{ ref('orders_per_month_mv') }}

),

landed_months as (

    select
        month_date,
        is_complete,
        is_next_month_complete,
        is_churn_known
    from {{ ref('landed_months') }}

),

monthly as (

    select
        month_date,
        cast(sum(buyer_count) as bigint) as buyer_count,
        cast(sum(retained_so_far_count) as bigint) as retained_so_far_count,
        cast(sum(churned_so_far_count) as bigint) as churned_so_far_count
    from orders
    group by month_date

),

known as (

    select
        monthly.month_date,
        monthly.buyer_count,
        case
            when landed_months.is_next_month_complete then monthly.retained_so_far_count
        end as retained_buyer_count,
        case when landed_months.is_churn_known then monthly.churned_so_far_count end
            as churned_buyer_count,
        coalesce(landed_months.is_complete, false) as is_complete
    from monthly
    left join landed_months on monthly.month_date = landed_months.month_date

),

final as (

    select
        month_date,
        buyer_count,
        retained_buyer_count,
        cast(retained_buyer_count as double) / buyer_count as monthly_retention_rate,
        churned_buyer_count,
        cast(churned_buyer_count as double) / buyer_count as churn_rate_90_days,
        is_complete
    from known

)

select * from final
