{% macro no_batch_is_settled() -%}
    {#- In a first build, or after the rules have changed: all that was landed is read. -#}
    {%- if batch_ledger() is none -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set landed = [] -%}
    {%- for source in graph.sources.values() -%}
        {%- do landed.extend(remembered(landed_batches(source.name))) -%}
    {%- endfor -%}
    {{ return(new_batches() | length == landed | length) }}
{%- endmacro %}
