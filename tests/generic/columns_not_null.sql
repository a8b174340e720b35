{#- Tests several columns with one scan of the table. -#}
{% test columns_not_null(model, column_list) %}
select {{ column_list | join(', ') }}
from {{ model }}
where {{ column_list | join(' is null or ') }} is null
{% endtest %}
