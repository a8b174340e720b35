{# Overrides dbt-duckdb's: writes only descriptions that have changed, all in one
   transaction, because each comment by itself would be a commit to the lake. DuckLake
   has no comments on the columns of views. #}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- set existing = _existing_comments(relation) -%}
    {%- set comments = [] -%}
    {%- if for_relation and config.persist_relation_docs() and model.description
        and model.description != existing.get('') -%}
        {%- do comments.append(alter_relation_comment(relation, model.description)) -%}
    {%- endif -%}
    {%- if for_columns and config.persist_column_docs() and not relation.is_view -%}
        {%- for column in model.columns.values()
            if column.description
            and column.description != existing.get(column.name) -%}
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

{% macro _existing_comments(relation) -%}
    {#- The comments on a relation of the lake, by column. The empty name has the
        comment on the relation itself. -#}
    {%- set cache = run_cache() -%}
    {%- if 'comments' not in cache -%}
        {%- set comments = {} -%}
        {%- for row in run_query(
            "select schema_name, table_name, '' as column_name, comment"
            ~ " from duckdb_tables() where database_name = '" ~ relation.database
            ~ "' union all select schema_name, view_name, '', comment"
            ~ " from duckdb_views() where database_name = '" ~ relation.database
            ~ "' union all select schema_name, table_name, column_name, comment"
            ~ " from duckdb_columns() where database_name = '" ~ relation.database ~ "'"
        ).rows -%}
            {%- do comments.setdefault(api.Relation.create(
                database=relation.database, schema=row[0], identifier=row[1]
            ).render(), {}).update({row[2] or '': row[3]}) -%}
        {%- endfor -%}
        {%- do cache.update({'comments': comments}) -%}
    {%- endif -%}
    {{ return(cache['comments'].get(relation.render(), {})) }}
{%- endmacro %}

{# Overrides dbt-duckdb's: to DuckDB a materialized view is a table. #}
{% macro duckdb__alter_relation_comment(relation, comment) -%}
    comment on {{ 'view' if relation.is_view else 'table' }} {{ relation }}
    is {{ duckdb_escape_comment(comment) }}
{%- endmacro %}
