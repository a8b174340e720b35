{% macro publications() -%}
    {#- The table of what was published when; none before the first build. -#}
    {{ return(run_query(
        "select format('{}.{}.{}', database_name, schema_name, table_name)"
        ~ " from duckdb_tables() where database_name = '" ~ target.database
        ~ "' and schema_name = 'quality' and table_name = 'publications'"
    ).columns[0].values() | first) }}
{%- endmacro %}

{% macro next_publication() -%}
    {#- An id for a new publication, later than all before, whatever the clock says. -#}
    {{ return(run_query(
        "select next_publication(coalesce(max(publication_id), '')) from "
        ~ target.database ~ '.quality.publications'
    ).columns[0][0]) }}
{%- endmacro %}

{% macro publication_damage(publication_id, name='') -%}
    {#- What of a publication is not what was published: a sentence without its point, or
        an empty text. -#}
    {{ return(run_query(
        "select publication_damage('" ~ publication_id ~ "', '" ~ name ~ "')"
    ).columns[0][0] if publication_id) }}
{%- endmacro %}

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

{% macro published_commit() -%}
    {#- The id of the commit that is named after what is published; none where nothing
        is, or a publication was begun and did not end. -#}
    {%- for publication in cached_query(
        'select kept_publications()[1] where unfinished_publications() = []'
    ) -%}
        {%- for commit in cached_query(
            'select snapshot_id from ' ~ ducklake_catalog()
            ~ "snapshot_changes where commit_message = 'Publication "
            ~ publication[0] ~ "'"
        ) -%}
            {{ return(commit[0] | int) }}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}

{% macro published_models() -%}
    {#- Schema and name of the models of the published schemas, sorted. -#}
    {%- set models = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.schema in var('published_schemas') -%}
        {%- do models.append((node.schema, node.name)) -%}
    {%- endfor -%}
    {{ return(models | sort) }}
{%- endmacro %}

{% macro published_definition(databases) -%}
    {#- A digest of what is published, as what, and of where the lake's files are. -#}
    {{ return(local_md5(databases ~ data_path())) }}
{%- endmacro %}

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
