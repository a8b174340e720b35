{% macro is_published(definition, models) -%}
    {#- The same would be written for the same roles, and no commit since that of the
        publication has touched these models, but for those that only merged files. -#}
    {%- set marks = [] -%}
    {%- for id in relation_ids(models) -%}
        {%- do marks.append("'" ~ id ~ "'") -%}
    {%- endfor -%}
    {%- for schema, name in models -%}
        {%- do marks.append("'" ~ schema ~ '.' ~ name ~ "'") -%}
    {%- endfor -%}
    {%- set snapshots = "ducklake_snapshots('" ~ target.database ~ "')" -%}
    {{ return(run_query(
        'select 1 from ' ~ target.database ~ '.quality.publications inner join '
        ~ snapshots ~ " as made on made.commit_message = 'Publication ' || publication_id"
        ~ ' where publication_id = kept_publications()[1]'
        ~ ' and unfinished_publications() = []'
        ~ " and definition_version = '" ~ definition ~ "' and not exists (select 1 from "
        ~ snapshots ~ ' as later where later.snapshot_id > made.snapshot_id and'
        ~ ' list_has_any([' ~ marks | join(', ') ~ '], flatten(map_values('
        ~ 'map_from_entries(list_filter(map_entries(later.changes), lambda entry: not'
        ~ " list_contains(['merge_adjacent', 'rewrite_delete'], entry.key)))))))"
    ).rows | length > 0) }}
{%- endmacro %}
