{% test expression_is_true(
    model, expression, test_condition="= true", group_by_columns=none, row_condition=none
) %}
with

judged as (

    select
        {%- for column in group_by_columns or [] %}
        {{ column }},
        {%- endfor %}
        {{ expression }} as expression
    from {{ model }}
    {%- if row_condition %}
    where {{ row_condition }}
    {%- endif %}
    {%- if group_by_columns %}
    group by {{ group_by_columns | join(", ") }}
    {%- endif %}

)

select * from judged where not (expression {{ test_condition }})
{% endtest %}
