{% test expect_table_row_count_to_equal_other_table(
    model, compare_model, group_by=none, compare_group_by=none, factor=none,
    row_condition=none, compare_row_condition=none
) %}
{%- set here = group_by or [] -%}
{%- set there = compare_group_by or here -%}
{%- if here | length != there | length -%}
    {{- exceptions.raise_compiler_error(
        "group_by and compare_group_by name different numbers of columns."
    ) -}}
{%- endif %}
with
{%- for name, relation, columns, condition in [
    ("here", model, here, row_condition),
    ("there", compare_model, there, compare_row_condition),
] %}

{{ name }} as (
    select
        {%- for column in columns %}
        {{ column }},
        {%- endfor %}
        count(*) as number_of_rows
    from {{ relation }}
    {%- if condition %}
    where {{ condition }}
    {%- endif %}
    {%- if columns %}
    group by {{ columns | join(", ") }}
    {%- endif %}
){{ "," if not loop.last }}
{%- endfor %}

select
    {%- for column in here %}
    coalesce(here.{{ column }}, there.{{ there[loop.index0] }}) as {{ column }},
    {%- endfor %}
    here.number_of_rows,
    there.number_of_rows * {{ factor or 1 }} as expected_number_of_rows
from here
full outer join there
    on
        1 = 1
        {%- for column in here %}
        and here.{{ column }} = there.{{ there[loop.index0] }}
        {%- endfor %}
where
    here.number_of_rows is null
    or there.number_of_rows is null
    or here.number_of_rows != there.number_of_rows * {{ factor or 1 }}
{% endtest %}
