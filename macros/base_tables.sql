{% macro base_tables(query) -%}
    {#- What a query rests on: tables, and views with the tables below them. A table
        that is not in the lake, or a file, has no id: nobody knows when it moves. -#}
    {%- set metadata = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
    {%- set held = {} -%}
    {%- for row in run_query(
        "select lower(concat_ws('.', '" ~ target.database ~ "', s.schema_name,"
        ~ " r.relation_name)), r.id, r.query from " ~ metadata ~ "schema as s"
        ~ " inner join (select schema_id, table_name as relation_name, table_id as id,"
        ~ " null as query, end_snapshot from " ~ metadata ~ "table union all select"
        ~ " schema_id, view_name, view_id, sql, end_snapshot from " ~ metadata
        ~ "view) as r on s.schema_id = r.schema_id where r.end_snapshot is null"
    ).rows -%}
        {%- do held.update({row[0]: {'id': row[1] | int, 'query': row[2]}}) -%}
    {%- endfor -%}
    {%- set found = {} -%}
    {%- if not query.is_closed -%}
        {%- do found.update({'a table function': {'id': none, 'is_linear': false}}) -%}
    {%- endif -%}
    {%- set waiting = [] -%}
    {%- for name in query.relations -%}
        {%- do waiting.append([name, name in query.tables]) -%}
    {%- endfor -%}
    {#- Jinja's loops see what is appended to their list while they run. -#}
    {%- for name, is_linear in waiting -%}
        {%- set known = held.get(name, {'id': none}) -%}
        {%- do found.update({name: {
            'id': known.id,
            'is_linear': is_linear and name not in found and not known.query,
        }}) -%}
        {%- if known.query -%}
            {%- set below = read_query(known.query) -%}
            {%- for relation in below.relations -%}
                {%- do waiting.append([relation, false]) -%}
            {%- endfor -%}
            {%- if not below.is_closed -%}
                {%- do found.update(
                    {name ~ ' (files)': {'id': none, 'is_linear': false}}
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}
