{% test expect_column_values_to_match_regex(
    model, column_name, regex, row_condition=none, is_raw=false, flags=""
) %}
{{- dbt_expectations.failing_rows(
    model,
    dbt_expectations.regex_matches(column_name, regex, is_raw, flags),
    row_condition,
) -}}
{% endtest %}
