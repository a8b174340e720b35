{% macro delete_reread_batches() -%}
    {#- What a table of the quality layer says of the batches that this build reads is
        said anew. -#}
    {%- if execute and is_incremental() -%}
        {%- set batches = [] -%}
        {%- for source in graph.sources.values() -%}
            {%- do batches.extend(new_batches(source.name)) -%}
        {%- endfor -%}
        {%- if batches -%}
            delete from {{ this }} where _batch_id in ('{{ batches | join("', '") }}')
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
