{% macro churn_is_known() -%}
    {#- Of an order, as far as the purchases tell. -#}
    {{ dbt.datediff('session_start_time', last_purchase_date(), 'day') }}
    >= {{ var('churn_days') }}
{%- endmacro %}
