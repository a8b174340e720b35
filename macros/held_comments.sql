{% macro held_comments(relation) -%}
    {#- The comments on a relation of the lake, by column; that on itself by ''. -#}
    {%- set memory = memory() -%}
    {%- if 'comments' not in memory -%}
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
        {%- do memory.update({'comments': known}) -%}
    {%- endif -%}
    {{ return(memory['comments'].get(relation.render(), {})) }}
{%- endmacro %}
