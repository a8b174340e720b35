{% macro new_batches(entity) -%}
    {#- The landed batches that the lake does not hold for good yet, as literals, so
        that the engine opens no other file. A batch is settled when its reconciliation
        balances, unless it holds rejected records and a rule has changed since, or
        prices in currencies whose rate of the day has come since. A batch after an
        unsettled one of the same window is read again with it, so that the order in
        which they were delivered decides, not the order in which they were read. -#}
    {%- set ledger = load_relation(api.Relation.create(
        database=target.database, schema='quality', identifier='batch_reconciliation'
    )) -%}
    {%- set rows = run_query(
        landed_batches(entity) if ledger is none
        else unsettled_batches(entity, ledger)
    ) -%}
    {{ return(rows.columns[0].values()) }}
{%- endmacro %}
