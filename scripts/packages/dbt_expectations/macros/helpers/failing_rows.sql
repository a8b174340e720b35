{% macro failing_rows(model, expression, row_condition=none) %}
{#- A null expression is unknown, not false: the row passes. -#}
select *
from {{ model }}
where
    not ({{ expression }})
    {%- if row_condition %}
    and ({{ row_condition }})
    {%- endif %}
{% endmacro %}
