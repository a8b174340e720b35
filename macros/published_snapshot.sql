{% macro published_snapshot(publication_id, definition) -%}
    {#- Its commit is found by its name; the row itself is written with the snapshot that
        was tested, which is the one before. -#}
    {{ return(run_query(
        'select publication_id, made.snapshot_id, is_rollback from ' ~ target.database
        ~ ".quality.publications inner join ducklake_snapshots('" ~ target.database
        ~ "') as made on made.commit_message = 'Publication ' || publication_id"
        ~ " where publication_id = '" ~ publication_id ~ "'"
        ~ ' and unfinished_publications() = []'
        ~ " and definition_version = '" ~ definition ~ "'"
    ).rows | first) }}
{%- endmacro %}
