{% macro is_new_batch(entity=none, column='_batch_id') -%}
    {%- if not (execute and is_incremental()) -%}
        true
    {%- else -%}
        {%- if model.unique_id not in batch_readers() -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' asks for new batches, so batch_reconciliation has to come '
                ~ 'after it: add it to the depends_on there.'
            ) }}
        {%- endif -%}
        {{ is_one_of(column, new_batches(entity)) }}
    {%- endif -%}
{%- endmacro %}
