{% macro batch_ledger() -%}
    {#- The table of what became of each batch; none before the first build. -#}
    {{ return(load_relation(api.Relation.create(
        database=target.database, schema='quality', identifier='batch_reconciliation'
    ))) }}
{%- endmacro %}
