{% macro churn_is_known() -%}
    {#- Of an order, as far as the purchases tell. -#}
    {{ dbt.datediff('session_start_time', _last_purchase_date(), 'day') }}
    >= {{ var('churn_days') }}
{%- endmacro %}

{% macro _last_purchase_date() -%}
    {#- A SQL expression, the date of the last day with purchases (UTC). -#}
    (
        select max(dates.date)
        from {{ ref('int_purchases_per_day') }} as purchases
        inner join {{ ref('dim_date') }} as dates on purchases.date_key = dates.date_key
    )
{%- endmacro %}
