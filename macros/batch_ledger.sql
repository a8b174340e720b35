{# As the run has found it: a first build makes it on its way. #}
{% macro batch_ledger() -%}
    {{ return(memory().setdefault('ledger', load_relation(api.Relation.create(
        database=target.database, schema='quality', identifier='batch_reconciliation'
    )))) }}
{%- endmacro %}
