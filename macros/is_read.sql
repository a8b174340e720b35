{% macro is_read(column='_batch_id') -%}
    {#- A condition, for tests: the batch is one of those that this build reads. -#}
    {%- set batches = batches_read() if execute -%}
    {%- if batches is none -%}
        true
    {%- else -%}
        {{ is_one_of(column, batches) }}
    {%- endif -%}
{%- endmacro %}
