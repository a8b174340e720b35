{% macro reopen_batches() -%}
    {#- A batch that was settled and is to be read again, for a changed exchange rate for
        instance, is unsettled before any model reads it. So it stays new, whatever this
        command leaves out and wherever it stops. -#}
    {%- set batches = new_batches() if batch_ledger() is not none else [] -%}
    {%- if batches -%}
        {%- do run_query(
            'update ' ~ batch_ledger() ~ ' set is_settled = false where is_settled and '
            ~ is_one_of('_batch_id', batches)
        ) -%}
    {%- endif -%}
{%- endmacro %}
