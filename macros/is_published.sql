{% macro is_published(snapshot_id, models) -%}
    {#- No commit since has touched these models, but for those that only merged files. -#}
    {%- set marks = [] -%}
    {%- for id in relation_ids(models) -%}
        {%- do marks.append("'" ~ id ~ "'") -%}
    {%- endfor -%}
    {%- for schema, name in models -%}
        {%- do marks.append("'" ~ schema ~ '.' ~ name ~ "'") -%}
    {%- endfor -%}
    {{ return(run_query(
        "select 1 from ducklake_snapshots('" ~ target.database ~ "') as later"
        ~ ' where later.snapshot_id > ' ~ snapshot_id ~ ' and'
        ~ ' list_has_any([' ~ marks | join(', ') ~ '], flatten(map_values('
        ~ 'map_from_entries(list_filter(map_entries(later.changes), lambda entry: not'
        ~ " list_contains(['merge_adjacent', 'rewrite_delete'], entry.key)))))) limit 1"
    ).rows | length == 0) }}
{%- endmacro %}
