{% macro resolve_base_tables(sql) -%}
    {#- A query with the views that it reads written out, what is known of it, and the
        tables and views that it rests on, with their ids. What is not in the lake, such
        as a file, has none: nobody knows when it moves. -#}
    {%- set held = {} -%}
    {%- set metadata = ducklake_catalog() -%}
    {%- for row in run_query(
        "select lower(concat_ws('.', '" ~ target.database ~ "', s.schema_name, r.name)),"
        ~ " r.id, r.query from " ~ metadata ~ "schema as s inner join (select schema_id,"
        ~ " table_name as name, table_id as id, null as query, end_snapshot from "
        ~ metadata ~ "table union all select schema_id, view_name, view_id, sql,"
        ~ " end_snapshot from " ~ metadata ~ "view) as r on s.schema_id = r.schema_id"
        ~ " where r.end_snapshot is null"
    ).rows -%}
        {%- do held.update({row[0]: {
            'id': row[1] | int,
            'view': (row[2] or '') | replace('{DUCKLAKE_CATALOG}', target.database),
        }}) -%}
    {%- endfor -%}
    {%- set traced = namespace(sql=sql, query=_read_query(sql)) -%}
    {%- set bases = [] -%}
    {#- Jinja's loop sees what is appended to its list while it runs. -#}
    {%- set names = traced.query.relations | list -%}
    {%- for name in names if held.get(name, {}).view -%}
        {%- do bases.append({'name': name, 'id': held[name].id, 'is_linear': false}) -%}
        {%- set traced.sql = inline_view(traced.sql, name, held[name].view) -%}
        {%- set traced.query = _read_query(traced.sql) -%}
        {%- do names.extend(traced.query.relations | reject('in', names)) -%}
    {%- endfor -%}
    {%- for name in traced.query.relations -%}
        {%- do bases.append({
            'name': name,
            'id': held.get(name, {}).id,
            'is_linear': name in traced.query.tables,
        }) -%}
    {%- endfor -%}
    {%- if not traced.query.is_closed -%}
        {%- do bases.append({'name': 'a file', 'id': none, 'is_linear': false}) -%}
    {%- endif -%}
    {{ return({'sql': traced.sql, 'query': traced.query, 'bases': bases}) }}
{%- endmacro %}

{% macro _read_query(sql) -%}
    {#- What the text of a query says; `read_query` is in
        scripts/deftunes/dbt_plugin/view_maintenance.py. -#}
    {{ return(fromjson(run_query(
        "select read_query('" ~ sql | replace("'", "''") ~ "')"
    ).columns[0][0])) }}
{%- endmacro %}

{% macro inline_view(sql, name, view) -%}
    {#- A query with that of a view in the place of the view's name. -#}
    {%- set literals = [] -%}
    {%- for text in [sql, name, view] -%}
        {%- do literals.append("'" ~ text | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{ return(run_query(
        'select inline_view(' ~ literals | join(', ') ~ ')'
    ).columns[0][0]) }}
{%- endmacro %}
