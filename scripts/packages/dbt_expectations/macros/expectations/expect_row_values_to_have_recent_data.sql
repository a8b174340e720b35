{% test expect_row_values_to_have_recent_data(
    model, column_name, datepart, interval, row_condition=none
) %}
{%- set now = dbt_expectations.now_utc() %}
select max({{ column_name }}) as most_recent
from {{ model }}
where
    -- A stamp from the future is a mistake, and would hide that data stopped coming.
    {{ column_name }} <= {{ now }}
    {%- if row_condition %}
    and ({{ row_condition }})
    {%- endif %}
having
    max({{ column_name }}) is null
    or max({{ column_name }}) < {{ dbt.dateadd(datepart, -interval, now) }}
{% endtest %}
