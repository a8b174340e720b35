{% macro new_batches(entity=none) -%}
    {#- The landed batches that the lake does not hold for good yet, of one entity or of
        all, as literals, so that the engine opens no other file. A batch is settled when
        its reconciliation balances, unless it holds rejected records and a rule has
        changed since, or prices in currencies whose rate of the day has come since. What
        was landed after an unsettled batch is read again with it, so that the order in
        which they were delivered decides, not the order in which they were read. -#}
    {%- set ledger = batch_ledger() -%}
    {%- set batches = [] -%}
    {%- for source in graph.sources.values() if entity in [none, source.name] -%}
        {%- do batches.extend(run_query(
            landed_batches(source.name) if ledger is none
            else unsettled_batches(source.name, ledger)
        ).columns[0].values()) -%}
    {%- endfor -%}
    {{ return(batches) }}
{%- endmacro %}
