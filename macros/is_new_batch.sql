{% macro is_new_batch(entity, column='_batch_id') -%}
    {%- if not (execute and is_incremental()) -%}
        true
    {%- else -%}
        {%- set batches = new_batches(entity) -%}
        {%- if batches -%}
            {{ column }} in ('{{ batches | join("', '") }}')
        {%- else -%}
            false
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
