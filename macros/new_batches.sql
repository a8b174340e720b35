{% macro new_batches(entity=none) -%}
    {#- The landed batches that the lake does not hold for good yet, of one entity or of
        all, as literals, so that the engine opens no other file. A batch is settled when
        its reconciliation balances, unless it holds rejected records and a rule has
        changed since, or prices in currencies whose rate of the day has come since. What
        was landed after an unsettled batch is read again with it, so that the order in
        which they were delivered decides, not the order in which they were read. -#}
    {%- set known = memory().setdefault('new batches', {}) -%}
    {%- if not known -%}
        {%- set entities = graph.sources.values() | map(attribute='name') | sort -%}
        {%- for name in entities -%}{%- do known.update({name: []}) -%}{%- endfor -%}
        {%- for row in run_query(unsettled_batches(entities, batch_ledger())).rows -%}
            {%- do known[row[0]].append(row[1]) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(known[entity] if entity else known.values() | sum(start=[])) }}
{%- endmacro %}
