{% macro between_expression(expression, min_value, max_value, strictly) %}
    {%- if min_value is none and max_value is none -%}
        {{- exceptions.raise_compiler_error(
            "Give min_value, max_value or both: without a bound nothing can fail."
        ) -}}
    {%- endif -%}
    {%- set bounds = [] -%}
    {%- if min_value is not none -%}
        {%- do bounds.append(
            expression ~ (" > " if strictly else " >= ") ~ min_value
        ) -%}
    {%- endif -%}
    {%- if max_value is not none -%}
        {%- do bounds.append(
            expression ~ (" < " if strictly else " <= ") ~ max_value
        ) -%}
    {%- endif -%}
    {{- bounds | join(" and ") -}}
{% endmacro %}
