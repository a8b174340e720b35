{% test expect_column_values_to_not_be_in_set(
    model, column_name, value_set, quote_values=true, row_condition=none
) %}
{%- set quote = "'" if quote_values else "" -%}
{%- set values = quote ~ value_set | join(quote ~ ", " ~ quote) ~ quote -%}
{{- dbt_expectations.failing_rows(
    model, column_name ~ " not in (" ~ values ~ ")", row_condition
) -}}
{% endtest %}
