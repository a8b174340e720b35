{% test expect_compound_columns_to_be_unique(
    model, column_list, quote_columns=false, ignore_row_if="all_values_are_missing",
    row_condition=none
) %}
{%- set operators = {
    "all_values_are_missing": " or ", "any_value_is_missing": " and "
} -%}
{%- if ignore_row_if not in operators -%}
    {{- exceptions.raise_compiler_error(
        "ignore_row_if is one of " ~ operators | list ~ ", not '" ~ ignore_row_if ~ "'."
    ) -}}
{%- endif -%}
{%- set columns = [] -%}
{%- for column in column_list -%}
    {%- do columns.append(adapter.quote(column) if quote_columns else column) -%}
{%- endfor %}
select
    {{ columns | join(", ") }},
    count(*) as number_of_rows
from {{ model }}
where
    ({{ columns | join(" is not null" ~ operators[ignore_row_if]) }} is not null)
    {%- if row_condition %}
    and ({{ row_condition }})
    {%- endif %}
group by {{ columns | join(", ") }}
having count(*) > 1
{% endtest %}
