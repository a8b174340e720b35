{% macro last_purchase_date() -%}
    (
        select max(dates.date)
        from {{ ref('int_purchases_per_day') }} as purchases
        inner join {{ ref('dim_date') }} as dates on purchases.date_key = dates.date_key
    )
{%- endmacro %}
