{% macro latest_batch(entity) -%}
    (select max(_batch_id) from ({{ landed_batches(entity) }}) as batches)
{%- endmacro %}
