{# As the run has found it: a first build makes it on its way. One that an older version
   of the project has made does not say what is settled, so that all is read again. #}
{% macro batch_ledger() -%}
    {%- set memory = memory() -%}
    {%- if 'ledger' not in memory -%}
        {%- set held = load_relation(api.Relation.create(
            database=target.database, schema='quality',
            identifier='batch_reconciliation'
        )) -%}
        {%- set columns = adapter.get_columns_in_relation(held) if held else [] -%}
        {%- do memory.update({
            'ledger': held if 'is_settled' in columns | map(attribute='name') else none
        }) -%}
    {%- endif -%}
    {{ return(memory['ledger']) }}
{%- endmacro %}
