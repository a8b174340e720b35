{% macro as_of_date_step() -%}
    {#- Whole weeks, so that all as-of dates are Mondays, and at least churn_days. -#}
    {{ return((var('churn_days') | int / 7) | round(0, 'ceil') | int * 7) }}
{%- endmacro %}
