{% macro publications() -%}
    {#- The name of the table of publications; none before the first build. -#}
    {{ return(run_query(
        "select format('{}.{}.{}', database_name, schema_name, table_name)"
        ~ " from duckdb_tables() where database_name = '" ~ target.database
        ~ "' and schema_name = 'quality' and table_name = 'publications'"
    ).columns[0].values() | first) }}
{%- endmacro %}

{% macro next_publication() -%}
    {#- An id for a new publication. It sorts after all earlier ids, even if the clock
        was set back. -#}
    {{ return(run_query(
        "select next_publication(coalesce(max(publication_id), '')) from "
        ~ target.database ~ '.quality.publications'
    ).columns[0][0]) }}
{%- endmacro %}

{% macro publication_damage(publication_id, name='') -%}
    {#- A sentence, without its full stop, that says which file of a publication is
        missing or was changed; empty if none is. -#}
    {{ return(run_query(
        "select publication_damage('" ~ publication_id ~ "', '" ~ name ~ "')"
    ).columns[0][0] if publication_id) }}
{%- endmacro %}

{% macro published_snapshot(publication_id, definition) -%}
    {#- A publication and the snapshot of its commit, which is found by its commit
        message; none if it has another definition, or if any publication is unfinished.
        The column snapshot_id of the table has the snapshot before that commit, which
        was tested. -#}
    {{ return(run_query(
        'select publication_id, commits.snapshot_id, is_rollback from '
        ~ target.database
        ~ ".quality.publications inner join ducklake_snapshots('" ~ target.database
        ~ "') as commits on commits.commit_message = 'Publication ' || publication_id"
        ~ " where publication_id = '" ~ publication_id ~ "'"
        ~ ' and unfinished_publications() = []'
        ~ " and definition_version = '" ~ definition ~ "'"
    ).rows | first) }}
{%- endmacro %}

{% macro published_commit() -%}
    {#- The snapshot id of the commit of the current publication; none if nothing is
        published, or a publication is unfinished. -#}
    {{ return(adapter.dispatch('published_commit')()) }}
{%- endmacro %}

{% macro duckdb__published_commit() -%}
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
    {#- The schema and name of each model in the published schemas, sorted. -#}
    {%- set models = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.schema in var('published_schemas') -%}
        {%- do models.append((node.schema, node.name)) -%}
    {%- endfor -%}
    {{ return(models | sort) }}
{%- endmacro %}

{% macro published_definition(databases) -%}
    {#- A hash of the statements that write the published databases, and of the path of
        the lake's files. -#}
    {{ return(local_md5(databases ~ data_path())) }}
{%- endmacro %}

{% macro is_published(snapshot_id, models) -%}
    {#- Whether no commit after a snapshot has changed these models. Commits that only
        merge or rewrite files do not count. -#}
    {%- set ids_and_names = [] -%}
    {%- for id in relation_ids(models) -%}
        {%- do ids_and_names.append("'" ~ id ~ "'") -%}
    {%- endfor -%}
    {%- for schema, name in models -%}
        {%- do ids_and_names.append("'" ~ schema ~ '.' ~ name ~ "'") -%}
    {%- endfor -%}
    {{ return(run_query(
        "select 1 from ducklake_snapshots('" ~ target.database ~ "') as later"
        ~ ' where later.snapshot_id > ' ~ snapshot_id ~ ' and'
        ~ ' list_has_any([' ~ ids_and_names | join(', ') ~ '], flatten(map_values('
        ~ 'map_from_entries(list_filter(map_entries(later.changes), lambda entry: not'
        ~ " list_contains(['merge_adjacent', 'rewrite_delete'], entry.key)))))) limit 1"
    ).rows | length == 0) }}
{%- endmacro %}
