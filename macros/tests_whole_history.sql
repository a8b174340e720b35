{% macro tests_whole_history() -%}
    {#- Whether a test that could compare all that was ever landed is to do so. Where that
        would take long, a build compares what it has read itself, and `dbt test` all. -#}
    {%- if not execute or flags.WHICH != 'build' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- if batches_read() is none -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(run_query(
        'select count(*) <= ' ~ var('items_tested_whole') ~ ' from ' ~ target.database
        ~ '.marts.fact_order_items'
    ).columns[0][0]) }}
{%- endmacro %}
