{% macro is_lost(last_ordered_at) -%}
    {#- For a buyer: more than churn_days lie between the last order and the last day with
        purchases. -#}
    {{ dbt.datediff(last_ordered_at, _last_purchase_date(), 'day') }}
    > {{ var('churn_days') }}
{%- endmacro %}

{% macro as_of_date_step() -%}
    {#- Whole weeks, so that all as-of dates are Mondays, and at least churn_days. -#}
    {{ return((var('churn_days') | int / 7) | round(0, 'ceil') | int * 7) }}
{%- endmacro %}

{% macro _last_purchase_date() -%}
    {#- A scalar subquery: the last day with purchases (UTC). -#}
    (
        select max(dates.date)
        from {{ ref('int_purchases_per_day') }} as purchases
        inner join {{ ref('dim_date') }} as dates on purchases.date_key = dates.date_key
    )
{%- endmacro %}
