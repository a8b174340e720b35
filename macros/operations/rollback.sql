{% macro rollback() -%}
    {#- `make rollback`: publishes the previous publication again, unchanged, for the
        current roles. A second rollback undoes the first. -#}
    {{ return(adapter.dispatch('rollback')()) }}
{%- endmacro %}

{% macro duckdb__rollback() -%}
    {%- do lock_lake() -%}
    {%- set finished = run_query('select settle_publishing()').columns[0][0] -%}
    {%- if finished -%}
        {%- do log(
            'Published ' ~ finished ~ ', which a killed run had begun. To roll that '
            ~ 'back, run the same command again.', info=True
        ) -%}
        {{ return('') }}
    {%- endif -%}
    {%- set publications = publications() -%}
    {%- set previous = run_query(
        'select publication_id, snapshot_id, passed_count, warned_count from '
        ~ publications ~ ' where list_contains(kept_publications()[2:], publication_id)'
        ~ ' and not list_contains(unfinished_publications(), publication_id)'
        ~ ' order by publication_id desc limit 1'
    ).rows if publications -%}
    {%- if not previous -%}
        {%- do log(
            'There is nothing to roll back to: no publication before this one is kept. '
            ~ 'What is published stays.', info=True
        ) -%}
        {{ return('') }}
    {%- endif -%}
    {%- set previous_id, snapshot_id, passed, warned = previous[0].values() -%}
    {%- set damage = publication_damage(previous_id, 'deftunes.ducklake') -%}
    {%- if damage -%}
        {{ exceptions.raise_compiler_error(
            'There is nothing to roll back to: ' ~ damage ~ '. What is published stays.'
        ) }}
    {%- endif -%}
    {%- set id = next_publication() -%}
    {%- set folder = run_query(
        "select start_publishing('" ~ id ~ "', '" ~ previous_id ~ "')"
    ).columns[0][0] -%}
    {%- do attach_snapshot(folder) -%}
    {%- set tables = run_query(
        'select schema_name, table_name from duckdb_tables()'
        ~ " where database_name = 'published' union all"
        ~ ' select schema_name, view_name from duckdb_views()'
        ~ " where database_name = 'published' and not internal order by all"
    ).rows -%}
    {#- The definition is that of a build, so that the next build with nothing new does
        not publish and the rollback stays. -#}
    {%- set definition = published_definition(
        role_databases(target.database, published_models())
    ) -%}
    {%- do record_publication(id, true, snapshot_id, passed, warned, definition) -%}
    {%- do publish_files(folder, role_databases('published', tables), id) -%}
{%- endmacro %}
