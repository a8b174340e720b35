{% macro is_published(definition) -%}
    {#- The commit of the publication is the last one, but for those that only merged
        files, and the same would be written for the same roles. -#}
    {%- set snapshots = "ducklake_snapshots('" ~ target.database ~ "')" -%}
    {{ return(run_query(
        'select 1 from ' ~ target.database ~ '.quality.publications inner join '
        ~ snapshots ~ " as made on made.commit_message = 'Publication ' || publication_id"
        ~ ' where publication_id = kept_publications()[1]'
        ~ ' and unfinished_publications() = []'
        ~ " and definition_version = '" ~ definition ~ "' and not exists (select 1 from "
        ~ snapshots ~ ' as later where later.snapshot_id > made.snapshot_id and not '
        ~ "list_has_all(['merge_adjacent', 'rewrite_delete'], map_keys(later.changes)))"
    ).rows | length > 0) }}
{%- endmacro %}
