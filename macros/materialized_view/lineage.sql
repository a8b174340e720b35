{% macro resolve_base_tables(sql) -%}
    {#- Resolves a query down to base tables. `sql`: the query with each view replaced
        by the view's query. `query`: what _read_query says of it. `base_tables`: the
        tables and views that it reads, with their ids in the catalogue. Something that
        is not in the lake, such as a file, has no id: its changes are unknown. -#}
    {%- set catalog = {} -%}
    {%- set metadata = ducklake_catalog() -%}
    {%- for row in run_query(
        "select lower(concat_ws('.', '" ~ target.database ~ "', s.schema_name, r.name)),"
        ~ " r.id, r.query from " ~ metadata ~ "schema as s inner join (select schema_id,"
        ~ " table_name as name, table_id as id, null as query, end_snapshot from "
        ~ metadata ~ "table union all select schema_id, view_name, view_id, sql,"
        ~ " end_snapshot from " ~ metadata ~ "view) as r on s.schema_id = r.schema_id"
        ~ " where r.end_snapshot is null"
    ).rows -%}
        {%- do catalog.update({row[0]: {
            'id': row[1] | int,
            'view': (row[2] or '') | replace('{DUCKLAKE_CATALOG}', target.database),
        }}) -%}
    {%- endfor -%}
    {%- set resolved = namespace(sql=sql, query=_read_query(sql)) -%}
    {%- set base_tables = [] -%}
    {#- The loop also visits names that are appended to the list while it runs. -#}
    {%- set names = resolved.query.relations | list -%}
    {%- for name in names if catalog.get(name, {}).view -%}
        {%- do base_tables.append({
            'name': name,
            'id': catalog[name].id,
            'is_linear': false,
        }) -%}
        {%- set resolved.sql = inline_view(resolved.sql, name, catalog[name].view) -%}
        {%- set resolved.query = _read_query(resolved.sql) -%}
        {%- do names.extend(resolved.query.relations | reject('in', names)) -%}
    {%- endfor -%}
    {%- for name in resolved.query.relations -%}
        {%- do base_tables.append({
            'name': name,
            'id': catalog.get(name, {}).id,
            'is_linear': name in resolved.query.tables,
        }) -%}
    {%- endfor -%}
    {%- if not resolved.query.is_closed -%}
        {%- do base_tables.append({
            'name': 'a file', 'id': none, 'is_linear': false
        }) -%}
    {%- endif -%}
    {{ return({
        'sql': resolved.sql,
        'query': resolved.query,
        'base_tables': base_tables,
    }) }}
{%- endmacro %}

{% macro _read_query(sql) -%}
    {#- Facts about a query, from parsing its text. read_query in
        scripts/deftunes/dbt_plugin/view_maintenance.py describes them. -#}
    {{ return(fromjson(run_query(
        "select read_query('" ~ sql | replace("'", "''") ~ "')"
    ).columns[0][0])) }}
{%- endmacro %}

{% macro inline_view(sql, name, view) -%}
    {#- A query in which the name of a view is replaced by the view's query. -#}
    {%- set literals = [] -%}
    {%- for text in [sql, name, view] -%}
        {%- do literals.append("'" ~ text | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{ return(run_query(
        'select inline_view(' ~ literals | join(', ') ~ ')'
    ).columns[0][0]) }}
{%- endmacro %}
