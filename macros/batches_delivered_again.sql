{% macro batches_delivered_again() -%}
    {#- The batches that hold a delivery of a session that this build reads: another
        delivery may count now. -#}
    {%- set batches = new_batches('sessions') if execute -%}
    {%- if not batches -%}
        {{ return([]) }}
    {%- endif -%}
    {%- set sessions = landed('sessions') -%}
    {{ return(remembered(
        'select distinct _batch_id from ' ~ sessions ~ ' where session_id in (select'
        ~ ' session_id from ' ~ sessions ~ ' where ' ~ is_one_of('_batch_id', batches)
        ~ ') or ' ~ is_one_of('_batch_id', batches)
    ) | map('first') | list) }}
{%- endmacro %}
