{% macro delete_reread_batches(batches=none) -%}
    {#- What a table says of the batches that this build reads, or of others, is said
        anew. -#}
    {%- if execute and is_incremental() -%}
        {%- set batches = new_batches() if batches is none else batches -%}
        {%- if batches -%}
            delete from {{ this }} where {{ is_one_of('_batch_id', batches) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
