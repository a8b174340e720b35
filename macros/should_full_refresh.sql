{# dbt's own, and for the models that read batches also where none is settled: what they
   have read by other rules does not stay. #}
{% macro should_full_refresh() -%}
    {%- set wanted = config.get('full_refresh') -%}
    {%- if wanted is none -%}
        {%- set wanted = flags.FULL_REFRESH or (
            execute and model.unique_id in batch_readers() and no_batch_is_settled()
        ) -%}
    {%- endif -%}
    {{ return(wanted) }}
{%- endmacro %}
