{% macro failing_rows(model, expression, row_condition=none) %}
{#- If the expression is null, it is not false, so the row passes. -#}
select *
from {{ model }}
where
    not ({{ expression }})
    {%- if row_condition %}
    and ({{ row_condition }})
    {%- endif %}
{% endmacro %}
