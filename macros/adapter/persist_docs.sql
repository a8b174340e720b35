{# Only a description that has changed is written, and all of them in one transaction: a
   comment on its own is a commit to the lake. DuckLake has no comments on the columns of
   views. #}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- set held = _held_comments(relation) -%}
    {%- set comments = [] -%}
    {%- if for_relation and config.persist_relation_docs() and model.description
        and model.description != held.get('') -%}
        {%- do comments.append(alter_relation_comment(relation, model.description)) -%}
    {%- endif -%}
    {%- if for_columns and config.persist_column_docs() and not relation.is_view -%}
        {%- for column in model.columns.values()
            if column.description and column.description != held.get(column.name) -%}
            {%- do comments.append(
                'comment on column ' ~ relation ~ '.' ~ column.name ~ ' is '
                ~ duckdb_escape_comment(column.description)
            ) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if comments -%}
        {%- call statement('comments', auto_begin=true) -%}
            {{ comments | join(';\n') }}
        {%- endcall -%}
    {%- endif -%}
{%- endmacro %}

{% macro _held_comments(relation) -%}
    {#- The comments on a relation of the lake, by column; that on itself by ''. -#}
    {%- set cache = run_cache() -%}
    {%- if 'comments' not in cache -%}
        {%- set known = {} -%}
        {%- for row in run_query(
            "select schema_name, table_name, '' as column_name, comment"
            ~ " from duckdb_tables() where database_name = '" ~ relation.database
            ~ "' union all select schema_name, view_name, '', comment"
            ~ " from duckdb_views() where database_name = '" ~ relation.database
            ~ "' union all select schema_name, table_name, column_name, comment"
            ~ " from duckdb_columns() where database_name = '" ~ relation.database ~ "'"
        ).rows -%}
            {%- do known.setdefault(api.Relation.create(
                database=relation.database, schema=row[0], identifier=row[1]
            ).render(), {}).update({row[2] or '': row[3]}) -%}
        {%- endfor -%}
        {%- do cache.update({'comments': known}) -%}
    {%- endif -%}
    {{ return(cache['comments'].get(relation.render(), {})) }}
{%- endmacro %}

{# The adapter's own, for which a materialized view is a table. #}
{% macro duckdb__alter_relation_comment(relation, comment) -%}
    comment on {{ 'view' if relation.is_view else 'table' }} {{ relation }}
    is {{ duckdb_escape_comment(comment) }}
{%- endmacro %}
