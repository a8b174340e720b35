{# Only a description that has changed is written, and all of them in one transaction: a
   comment on its own is a commit to the lake. DuckLake has no comments on the columns of
   views. #}
{% macro duckdb__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if not execute -%}{{ return('') }}{%- endif -%}
    {%- set held = held_comments(relation) -%}
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
