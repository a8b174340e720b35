{% macro new_batches(entity=none) -%}
    {#- The landed batches that the lake does not hold for good yet, of one entity or of
        all, as literals, so that the engine opens no other file. A batch is settled when
        its reconciliation balances, unless it holds rejected records and a rule has
        changed since, or prices in currencies whose rate of the day has come since. What
        was landed after an unsettled batch is read again with it, so that the order in
        which they were delivered decides, not the order in which they were read. -#}
    {%- set ledger = batch_ledger() -%}
    {%- set entities = [entity] if entity else graph.sources.values()
        | map(attribute='name') | sort -%}
    {%- if ledger is not none -%}
        {%- set unsettled = run_query(unsettled_batches(entities, ledger)) -%}
        {{ return(unsettled.columns[0].values() | list) }}
    {%- endif -%}
    {%- set batches = [] -%}
    {%- for name in entities -%}
        {%- do batches.extend(run_query(landed_batches(name)).columns[0].values()) -%}
    {%- endfor -%}
    {{ return(batches) }}
{%- endmacro %}
