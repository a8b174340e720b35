{% macro data_path() -%}
    {#- The folder of the lake's files as it is attached. The path in the catalogue may
        be wrong, because the lakehouse may have been moved. -#}
    {{ return(run_query(
        "select absolute_path(data_path) from ducklake_settings('" ~ target.database
        ~ "')"
    ).columns[0][0]) }}
{%- endmacro %}

{% macro refuse_foreign_files() -%}
    {#- Fails if the cleanup of orphaned files would delete a file outside of the
        folders of this lake's tables: it may belong to another catalogue. Orphaned
        files inside them come from killed builds and may be deleted. -#}
    {%- set metadata = ducklake_catalog() -%}
    {%- set folders = run_query(
        'select distinct rtrim(schemas.path || tables.path, chr(47)) from ' ~ metadata
        ~ 'table as tables inner join ' ~ metadata
        ~ 'schema as schemas using (schema_id)'
    ).columns[0].values() | list -%}
    {%- for node in graph.nodes.values() if node.relation_name -%}
        {%- do folders.append(node.schema ~ '/' ~ node.alias) -%}
    {%- endfor -%}
    {%- for path in run_query(
        "select path from ducklake_delete_orphaned_files('" ~ target.database
        ~ "', cleanup_all => true, dry_run => true) order by all"
    ).columns[0] -%}
        {%- set parts = (path | replace(data_path(), '')).split('/') -%}
        {%- if (parts[:2] | join('/')).split('__dbt_')[0] not in folders -%}
            {{ exceptions.raise_compiler_error(
                path ~ ' belongs to no table of this lake. Another catalogue may own '
                ~ 'it, so nothing was removed. Move it out of ' ~ data_path()
                ~ ', then run the same command again.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}
