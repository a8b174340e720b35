{# Target spark_serving: DuckDB publishes the tables that Spark has built. #}

{% macro imported_nodes() -%}
    {#- The models that Spark builds and DuckDB publishes. Views are not among them: they
        are the same queries on both engines. -#}
    {%- set nodes = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.schema in var('published_schemas')
        and node.name != 'publications'
        and node.original_file_path.split('/')[1] != 'ml'
        and node.config.materialized != 'view' -%}
        {%- do nodes.append(node) -%}
    {%- endfor -%}
    {{ return(nodes) }}
{%- endmacro %}

{% macro import_tables() -%}
    {#- Brings the tables of the lake up to date with the last build of Spark that passed
        its tests. A table is not read if Spark has not written to it since. -#}
    {%- set records = target.database ~ '.operations.imported_tables' -%}
    {%- do run_query(
        'create schema if not exists ' ~ target.database ~ '.operations;'
        ~ ' create table if not exists ' ~ records ~ ' (schema_name varchar,'
        ~ ' table_name varchar, column_types varchar, metadata_file varchar)'
    ) -%}
    {%- set imported = {} -%}
    {%- for schema, name, types, file in run_query('from ' ~ records).rows -%}
        {%- do imported.update({(schema, name, types): file}) -%}
    {%- endfor -%}
    {%- set passed = {} -%}
    {%- for schema, name, file in _passed_build() -%}
        {%- do passed.update({(schema, name): file}) -%}
    {%- endfor -%}
    {%- for node in imported_nodes() -%}
        {%- set types = [] -%}
        {%- for column in node.columns.values() -%}
            {%- do types.append(adapter.quote(column.name) ~ ' ' ~ column.data_type) -%}
        {%- endfor -%}
        {%- set types = types | join(', ') -%}
        {%- set file = passed.get((node.schema, node.name)) -%}
        {%- if not file -%}
            {{ exceptions.raise_compiler_error(
                node.name ~ ' is not in the last build of Spark that passed. Run `make '
                ~ 'spark`, which builds it and then publishes.'
            ) }}
        {%- endif -%}
        {%- set old_file = none if flags.FULL_REFRESH
            else imported.get((node.schema, node.name, types)) -%}
        {%- if file != old_file -%}
            {%- do run_query(
                'begin; ' ~ _import_table(node, types, old_file, file)
                ~ "; delete from " ~ records ~ " where (schema_name, table_name) = ('"
                ~ node.schema ~ "', '" ~ node.name ~ "'); insert into " ~ records
                ~ " values ('" ~ node.schema ~ "', '" ~ node.name ~ "', '"
                ~ types ~ "', '" ~ file ~ "'); commit"
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}

{% macro _passed_build() -%}
    {#- Schema, name and metadata file of each table, as target spark wrote them. -#}
    {%- set files = (env_var('DEFTUNES_HOME', '') or '.')
        ~ '/lake_spark/passed_build/*.parquet' -%}
    {%- if not run_query("from glob('" ~ files ~ "')").rows -%}
        {{ exceptions.raise_compiler_error(
            'There is no ' ~ files ~ ': no whole build of Spark has passed its tests yet. '
            ~ 'Run `make spark`, which builds and then publishes.'
        ) }}
    {%- endif -%}
    {{ return(run_query("from read_parquet('" ~ files ~ "')").rows) }}
{%- endmacro %}

{% macro _import_table(node, types, old_file, file) -%}
    {#- SQL that brings a table up to date. If the table was imported before, only files
        are read that one of both versions has and the other one has not. -#}
    {%- set relation = adapter.quote(node.schema) ~ '.' ~ adapter.quote(node.name) -%}
    {%- set table = target.database ~ '.' ~ relation -%}
    {%- set columns = {} -%}
    {%- for column in node.columns.values() -%}
        {%- set name = adapter.quote(column.name) -%}
        {%- do columns.update({
            name: 'cast(' ~ name ~ ' as ' ~ column.data_type ~ ') as ' ~ name
        }) -%}
    {%- endfor -%}
    {%- set select = 'select ' ~ columns.values() | join(', ') ~ ' from ' -%}
    {%- set all_rows = "iceberg_scan('" ~ file ~ "')" -%}
    {%- if old_file is none -%}
        create schema if not exists {{ target.database }}.{{ adapter.quote(node.schema) }};
        create or replace table {{ table }} ({{ types }});
        insert into {{ table }} {{ select ~ all_rows }}
    {%- else -%}
        {%- set changes = _changed_files(old_file, file) -%}
        {%- set new_rows = all_rows if changes is none
            else _parquet_rows(changes.added, all_rows) -%}
        {%- set old_rows = table if changes is none
            else _parquet_rows(changes.removed, all_rows) -%}
        {%- for name, rows, other_rows in [
            ('inserted_rows', new_rows, old_rows), ('deleted_rows', old_rows, new_rows)
        ] -%}
            {%- do run_query(
                'create or replace temporary table ' ~ name ~ ' as ' ~ select ~ rows
                ~ ' except all ' ~ select ~ other_rows
            ) -%}
        {%- endfor -%}
        {{ sync_rows(
            {'name': target.database ~ '.' ~ node.schema ~ '.' ~ node.name,
             'relation': relation, 'visible_columns': columns},
            'inserted_rows', 'deleted_rows', database=target.database
        ) }}
    {%- endif -%}
{%- endmacro %}

{% macro _parquet_rows(files, table) -%}
    {#- A relation with the rows of Parquet files; of no file, if there are none. -#}
    {{ return(
        "read_parquet(['" ~ files | join("', '") ~ "'], union_by_name = true)" if files
        else '(from ' ~ table ~ ' limit 0)'
    ) }}
{%- endmacro %}

{% macro _changed_files(old_file, file) -%}
    {#- The Parquet files that were added to a table, and those that were removed; none if
        the old ones no longer exist, or if files with positions of deleted rows belong to
        them. -#}
    {%- set files = {old_file: [], file: []} -%}
    {%- for version in files -%}
        {%- if not _exist([version]) -%}{{ return(none) }}{%- endif -%}
        {%- for content, path in run_query(
            "select manifest_content, file_path from iceberg_metadata('" ~ version
            ~ "') where status <> 'DELETED'"
        ).rows -%}
            {%- if content != 'DATA' -%}{{ return(none) }}{%- endif -%}
            {%- do files[version].append(path) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set removed = files[old_file] | reject('in', files[file]) | list -%}
    {%- if removed and not _exist(removed) -%}{{ return(none) }}{%- endif -%}
    {{ return({
        'added': files[file] | reject('in', files[old_file]) | list,
        'removed': removed,
    }) }}
{%- endmacro %}

{% macro _exist(files) -%}
    {#- Whether all these files exist. DuckDB asks a bucket only for names with a pattern:
        here the last letter is one. -#}
    {%- set patterns = [] -%}
    {%- for file in files -%}
        {%- do patterns.append("'" ~ file[:-1] ~ '[' ~ file[-1] ~ "]'") -%}
    {%- endfor -%}
    {{ return(
        run_query('from glob([' ~ patterns | join(', ') ~ '])').rows | length
        == files | length
    ) }}
{%- endmacro %}
