{% macro data_path() -%}
    {#- Not where the catalogue says: the lakehouse may have been moved. -#}
    {{ return(run_query(
        "select absolute_path(data_path) from ducklake_settings('" ~ target.database
        ~ "')"
    ).columns[0][0]) }}
{%- endmacro %}

{% macro refuse_strange_files() -%}
    {#- DuckLake removes what its catalogue does not name. A killed build leaves such
        files in the folders of its tables. Where this lake never had a table, another
        catalogue's files may lie. -#}
    {%- set metadata = ducklake_catalog() -%}
    {%- set folders = run_query(
        'select distinct rtrim(place.path || held.path, chr(47)) from ' ~ metadata
        ~ 'table as held inner join ' ~ metadata ~ 'schema as place using (schema_id)'
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
                path ~ ' is of no table of this lake, and another catalogue may own it: '
                ~ 'nothing was removed. Move it out of ' ~ data_path()
                ~ ', then run the same again.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}
