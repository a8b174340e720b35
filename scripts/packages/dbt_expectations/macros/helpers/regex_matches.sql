{% macro regex_matches(expression, regex, is_raw=false, flags="") %}
    {{- return(adapter.dispatch("regex_matches", "dbt_expectations")(
        expression, regex, is_raw, flags
    )) -}}
{% endmacro %}

{#- DuckDB has no escapes in literals, so each is already raw. -#}
{% macro duckdb__regex_matches(expression, regex, is_raw, flags) %}
    {{- "regexp_matches(" ~ expression ~ ", '" ~ regex ~ "'" -}}
    {{- (", '" ~ flags ~ "'" if flags else "") ~ ")" -}}
{% endmacro %}
