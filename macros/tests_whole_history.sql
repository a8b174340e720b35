{% macro tests_whole_history() -%}
    {#- Whether a test that could compare all that was ever landed is to do so. Where that
        would take long, a build compares what it has read itself, and `dbt test` all.
        What was published has passed, and is as it was if its commit is the last one. -#}
    {%- if not execute or flags.WHICH != 'build' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set published = published_commit() -%}
    {{ return(not (
        published is not none and lake_changes(published).snapshot_id == published
        or is_large()
    )) }}
{%- endmacro %}
