{% macro new_batches(entity=none) -%}
    {#- The landed batches that are not settled, of one entity or of all. A batch is
        settled when every model that reads it has read it and its records balance, unless
        the rules have changed since, or the exchange rates of its purchases. What was
        landed after an unsettled batch is read again with it, so that the order in which
        they were delivered decides, not the order in which they were read. -#}
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
