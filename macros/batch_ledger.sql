{# As the run has found it: a first build makes it on its way. One that an older version
   of the project has made does not say what is settled, so that all is read again. #}
{% macro batch_ledger() -%}
    {%- set memory = memory() -%}
    {%- if 'ledger' not in memory -%}
        {%- set held = load_relation(api.Relation.create(
            database=target.database, schema='quality',
            identifier='batch_reconciliation'
        )) -%}
        {%- set columns = run_query('select * from ' ~ held ~ ' limit 0').column_names
            if held else [] -%}
        {%- do memory.update({'ledger': held if 'is_settled' in columns else none}) -%}
    {%- endif -%}
    {{ return(memory['ledger']) }}
{%- endmacro %}
