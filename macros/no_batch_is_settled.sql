{% macro no_batch_is_settled() -%}
    {#- In a first build, or after the rules have changed: all that was landed is read. -#}
    {%- if not execute -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set memory = memory() -%}
    {%- if 'no batch is settled' not in memory -%}
        {%- set landed = [] -%}
        {%- for source in graph.sources.values() if batch_ledger() is not none -%}
            {%- do landed.extend(run_query(landed_batches(source.name)).rows) -%}
        {%- endfor -%}
        {%- do memory.update({
            'no batch is settled': batch_ledger() is none
                or new_batches() | length == landed | length
        }) -%}
    {%- endif -%}
    {{ return(memory['no batch is settled']) }}
{%- endmacro %}
