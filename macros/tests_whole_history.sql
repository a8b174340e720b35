{% macro tests_whole_history() -%}
    {#- Whether a test that could compare all that was ever landed is to do so. Where that
        would take long, a build compares what it has read itself, and `dbt test` all.
        What was published has passed, and is as it was if its commit is the last one. -#}
    {%- if not execute or flags.WHICH != 'build' -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set commits = '__ducklake_metadata_' ~ target.database
        ~ '.ducklake_snapshot_changes' -%}
    {%- if run_query(
        'select 1 from ' ~ commits ~ " where commit_message = 'Publication ' ||"
        ~ ' kept_publications()[1] and unfinished_publications() = []'
        ~ ' and snapshot_id = (select max(snapshot_id) from ' ~ commits ~ ')'
    ).rows -%}
        {{ return(false) }}
    {%- endif -%}
    {{ return(not is_large()) }}
{%- endmacro %}
