{% macro delete_reread_batches() -%}
    {#- What a table of the quality layer says of the batches that this build reads is
        said anew. -#}
    {%- if execute and is_incremental() -%}
        {%- set batches = new_batches() -%}
        {%- if batches -%}
            delete from {{ this }} where _batch_id in ('{{ batches | join("', '") }}')
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
