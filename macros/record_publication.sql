{% macro record_publication(id, is_rollback, snapshot_id, passed, warned, definition) -%}
    {#- The row is a commit of its own, named after the publication. It is written before
        the files, so that they hold it; rows of publications that were interrupted
        before readers saw them go. -#}
    {%- set publications = target.database ~ '.quality.publications' -%}
    {%- do run_query(
        'begin; call ' ~ target.database ~ ".set_commit_message('dbt', 'Publication "
        ~ id ~ "'); delete from " ~ publications
        ~ ' where list_contains(unfinished_publications(), publication_id)'
        ~ ' and publication_id <> kept_publications()[1]; insert into '
        ~ publications ~ " by name select '" ~ id ~ "' as publication_id, "
        ~ is_rollback ~ " as is_rollback, '" ~ invocation_id ~ "' as invocation_id, '"
        ~ definition ~ "' as definition_version, " ~ snapshot_id ~ ' as snapshot_id, '
        ~ passed ~ ' as passed_count, ' ~ warned ~ ' as warned_count, '
        ~ "now() at time zone 'UTC' as published_at; commit"
    ) -%}
{%- endmacro %}
