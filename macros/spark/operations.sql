{# `make upkeep` on Spark. Snapshots expire before files are rewritten, so the state that
   the last passed build has written down is still there. #}
{% macro spark__upkeep() -%}
    {%- set age = "timestamp_ltz '" ~ (
        run_started_at - modules.datetime.timedelta(days=var('retention_days') | int)
    ).isoformat() ~ "'" -%}
    {%- set counts = {} -%}
    {#- prefix_listing: Iceberg lists the files, because Spark alone lists no bucket. -#}
    {%- for table in _iceberg_tables() -%}
        {%- for procedure, arguments in [
            ('expire_snapshots', ', older_than => ' ~ age),
            ('remove_orphan_files', ', prefix_listing => true, older_than => ' ~ age),
            ('rewrite_data_files', ''),
            ('rewrite_manifests', ''),
        ] -%}
            {%- set rows = _call(procedure, table, arguments) -%}
            {#- The first column is a number of files or the name of one. -#}
            {%- set count = rows | length if procedure == 'remove_orphan_files'
                else rows[0][0] -%}
            {%- do counts.update({procedure: counts.get(procedure, 0) + count}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for procedure, count in counts.items() -%}
        {%- do log(procedure ~ ': ' ~ count, info=True) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro spark__erase_history() -%}
    {%- for table in _iceberg_tables() -%}
        {%- if not table.is_built -%}
            {#- Rows that were deleted from it are still in old files, and their least and
                greatest values in the manifests, which even an empty insert writes anew.
            -#}
            {%- do _call(
                'rewrite_data_files', table, ", options => map('rewrite-all', 'true')"
            ) -%}
            {%- do run_query(
                'insert into ' ~ table.name ~ ' select * from ' ~ table.name
                ~ ' where false'
            ) -%}
        {%- endif -%}
        {%- for name, type in run_query(
            'select name, type from ' ~ table.name ~ ".refs where name <> 'main'"
        ).rows -%}
            {%- do run_query(
                'alter table ' ~ table.name ~ ' drop ' ~ type ~ ' `' ~ name ~ '`'
            ) -%}
        {%- endfor -%}
        {%- do run_query(
            'alter table ' ~ table.name ~ " set tblproperties ("
            ~ "'write.metadata.delete-after-commit.enabled' = 'true', "
            ~ "'write.metadata.previous-versions-max' = '1')"
        ) -%}
        {%- do _call(
            'expire_snapshots', table, ", older_than => timestamp_ltz '9999-12-31'"
        ) -%}
        {%- do run_query(
            'alter table ' ~ table.name
            ~ " unset tblproperties ('write.metadata.previous-versions-max')"
        ) -%}
        {%- do _remove_all_orphan_files(table) -%}
    {%- endfor -%}
    {#- The rows are those that passed the tests, but they are in other files now. -#}
    {%- do spark__publish_lake(none, none) -%}
{%- endmacro %}

{% macro _remove_all_orphan_files(table) -%}
    {#- The procedure refuses to remove files of the last day, unless it is told which
        files there are and that they are old. -#}
    {%- set location = run_query(
        'select file from ' ~ table.name ~ '.metadata_log_entries limit 1'
    )[0][0].rpartition('/metadata/')[0] -%}
    {%- do run_query(
        'create or replace temporary view listed_files using binaryFile options (path "'
        ~ location ~ '", recursiveFileLookup "true")'
    ) -%}
    {%- do run_query(
        "create or replace temporary view files_of_table as select '" ~ location
        ~ "' || split_part(path, '" ~ location ~ "', 2) as file_path,"
        ~ " timestamp_ltz '2000-01-01' as last_modified from listed_files"
    ) -%}
    {%- do _call(
        'remove_orphan_files', table, ", file_list_view => 'files_of_table'"
    ) -%}
{%- endmacro %}

{% macro _call(procedure, table, arguments) -%}
    {#- Calls a procedure of Iceberg for a table; returns its rows. -#}
    {{ return(run_query(
        'call lake.system.' ~ procedure ~ "(table => '" ~ table.name ~ "'" ~ arguments
        ~ ')'
    ).rows) }}
{%- endmacro %}

{% macro _iceberg_tables() -%}
    {#- The tables of the catalogue, and whether a node of this project builds them. -#}
    {%- set built = [] -%}
    {%- for node in graph.nodes.values() if node.relation_name -%}
        {%- do built.append((node.schema, node.alias)) -%}
    {%- endfor -%}
    {%- set tables = [] -%}
    {%- for schema in run_query('show namespaces in lake').columns[0] -%}
        {%- for row in run_query('show tables in lake.`' ~ schema ~ '`').rows -%}
            {%- do tables.append({
                'name': 'lake.`' ~ row[0] ~ '`.`' ~ row[1] ~ '`',
                'key': (row[0], row[1]),
                'is_built': (row[0], row[1]) in built,
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}

{% macro spark__rollback() -%}
    {{ exceptions.raise_compiler_error(
        'Spark publishes nothing: DuckDB does, so set DBT_TARGET=spark_serving and run '
        ~ 'the same command again.'
    ) }}
{%- endmacro %}

{% macro export_for_parity(folder) -%}
    {#- Writes Parquet files: in `folder`/tables the metadata file of each table, and in
        `folder`/schema/name the rows of each view, because only Spark can read it. -#}
    {%- do lock_lake() -%}
    {%- do write_parquet(
        folder ~ '/tables', metadata_files(_iceberg_tables() | map(attribute='key'))
    ) -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.config.materialized == 'view'
        and node.schema not in var('published_schemas') -%}
        {%- do write_parquet(
            folder ~ '/' ~ node.schema ~ '/' ~ node.name,
            'select * from ' ~ node.relation_name
        ) -%}
    {%- endfor -%}
{%- endmacro %}
