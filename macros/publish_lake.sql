{% macro publish_lake(passed, warned) -%}
    {#- Publishes the models of the published schemas, unless they are published as they
        are. -#}
    {%- do run_query('select settle_publishing()') -%}
    {%- set models = published_models() -%}
    {%- set databases = reader_databases(target.database, models) -%}
    {%- set definition = local_md5(databases | string) -%}
    {%- set held = published_snapshot(definition) -%}
    {%- if held and is_published(held[0], models) -%}
        {%- do log(
            'Nothing new to publish. What was published before stays.', info=True
        ) -%}
    {%- else -%}
        {%- set id = run_started_at.strftime('%Y%m%dT%H%M%S%fZ') -%}
        {%- set folder = run_query(
            "select start_publishing('" ~ id ~ "', '')"
        ).columns[0][0] -%}
        {%- do record_publication(
            id, false,
            "(select id from ducklake_current_snapshot('" ~ target.database ~ "'))",
            passed, warned, definition
        ) -%}
        {%- set catalogue = folder ~ '/deftunes.ducklake' -%}
        {%- do freeze_catalogue(catalogue, models) -%}
        {%- do run_query(
            "attach 'ducklake:" ~ catalogue ~ "' as published (read_only)"
        ) -%}
        {%- do publish_files(
            folder, databases, id, publication_changes(held, models)
        ) -%}
    {%- endif -%}
{%- endmacro %}
