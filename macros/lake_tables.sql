{% macro lake_tables() -%}
    {#- The tables of the lake, their columns, which of them are texts, and whether this
        project makes them. -#}
    {%- set made = ['operations.materialized_views'] -%}
    {%- for node in graph.nodes.values() if node.relation_name -%}
        {%- do made.append((node.schema ~ '.' ~ node.alias) | lower) -%}
    {%- endfor -%}
    {%- set found = [] -%}
    {%- for schema, name, columns, texts in run_query(
        'select schema_name, table_name, string_agg(column_name, chr(10)),'
        ~ ' string_agg(column_name, chr(10)) filter ('
        ~ "data_type in ('VARCHAR', 'UUID')) from duckdb_columns()"
        ~ ' semi join duckdb_tables() using (database_name, schema_name, table_name)'
        ~ " where database_name = '" ~ target.database ~ "' group by all order by all"
    ).rows -%}
        {%- do found.append({
            'place': [schema, name],
            'name': target.database ~ '.' ~ adapter.quote(schema) ~ '.'
                ~ adapter.quote(name),
            'columns': columns.split('\n'),
            'texts': texts.split('\n') if texts else [],
            'is_made': (schema ~ '.' ~ name) | lower in made,
        }) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
