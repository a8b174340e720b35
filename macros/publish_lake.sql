{% macro publish_lake(passed, warned) -%}
    {#- Publishes the models of the published schemas, unless they are published as they
        are. -#}
    {%- do run_query('select settle_publishing()') -%}
    {%- set models = published_models() -%}
    {%- set databases = reader_databases(target.database, models) -%}
    {%- set definition = published_definition(databases) -%}
    {%- set current = run_query('select kept_publications()[1]').columns[0][0] -%}
    {%- set damage = publication_damage(current) -%}
    {%- set held = published_snapshot(current, definition) -%}
    {%- if held and not damage and is_published(held.snapshot_id, models) -%}
        {%- do log(
            'Nothing new to publish. What was published before stays.', info=True
        ) -%}
    {%- else -%}
        {%- if damage -%}
            {%- do log('Publishing again: ' ~ damage ~ '.', info=True) -%}
        {%- endif -%}
        {%- do compact_lake() -%}
        {%- set reusable = run_query('select reusable_publication()').columns[0][0] -%}
        {%- set bases = [published_snapshot(reusable, definition), held] -%}
        {%- set id = next_publication() -%}
        {%- set folder = run_query(
            "select start_publishing('" ~ id ~ "', '')"
        ).columns[0][0] -%}
        {%- do record_publication(
            id, false,
            "(select id from ducklake_current_snapshot('" ~ target.database ~ "'))",
            passed, warned, definition
        ) -%}
        {%- do freeze_catalogue(folder ~ '/deftunes.ducklake', models) -%}
        {%- do attach_published(folder) -%}
        {%- do publish_files(
            folder, databases, id, publication_changes(bases, models)
        ) -%}
    {%- endif -%}
{%- endmacro %}
