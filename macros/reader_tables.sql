{% macro reader_tables(database, tables, forms=none) -%}
    {#- Each table is written from the columns that may be seen, so that the file never
        holds what it leaves out. -#}
    {%- set models = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- do models.update({(node.schema, node.name): node}) -%}
    {%- endfor -%}
    {%- set unknown = {'config': {'meta': {}}} -%}
    {%- set written = [] -%}
    {%- for schema, name in tables -%}
        {%- set table = adapter.quote(schema) ~ '.' ~ adapter.quote(name) -%}
        {%- set model = models.get((schema, name), unknown) -%}
        {%- set meta = model.config.meta -%}
        {%- set seen = {} -%}
        {%- set kind = 'view' if meta.kept_as else not forms and meta.published_as or 'table' -%}
        {%- set comments = [(' ' ~ kind ~ ' readers.' ~ table, model.description)] -%}
        {%- set is_seen = forms is none or forms.get(meta.data_class or 'general') -%}
        {%- for row in remembered('describe ' ~ database ~ '.' ~ table) -%}
            {%- set column = adapter.quote(row[0]) -%}
            {%- set described = model.get('columns', {}).get(row[0], unknown) -%}
            {%- set form = 'exact' if forms is none
                else is_seen and forms.get(described.config.meta.data_class) -%}
            {%- set description = described.description -%}
            {%- if form == 'rounded' -%}
                {%- do seen.update({column: 'round(' ~ column ~ ') as ' ~ column}) -%}
                {%- set description = description ~ ' Rounded to a whole number.' -%}
            {%- elif form == 'exact' -%}
                {#- A sum of 128 bits is a hundred times as slow to read as one of 64. -#}
                {%- do seen.update({column: 'cast(' ~ column ~ ' as '
                    ~ row[1].replace('(38,', '(18,') ~ ') as ' ~ column}) -%}
            {%- endif -%}
            {%- set place = ' column readers.' ~ table ~ '.' ~ column -%}
            {%- do comments.append((place, description if form else none)) -%}
        {%- endfor -%}
        {%- if seen -%}
            {%- set groups = large_groups(table, meta.group_size, seen, forms) -%}
            {%- set statements = [
                'create schema if not exists readers.' ~ adapter.quote(schema),
                'create or replace ' ~ kind ~ ' readers.' ~ table ~ (
                    ' as select ' ~ seen.values() | join(', ') ~ ' from '
                    ~ (groups or 'published.' ~ table) if kind == 'table'
                    else own_view_definition(database, schema, name, meta.kept_as, seen)
                ),
            ] -%}
            {%- for place, description in comments if description -%}
                {%- do statements.append(
                    'comment on' ~ place ~ ' is ' ~ duckdb_escape_comment(description)
                ) -%}
            {%- endfor -%}
            {%- do written.append({
                'name': target.database ~ '.' ~ schema ~ '.' ~ name,
                'relation': table,
                'seen': seen,
                'groups': groups,
                'statements': statements,
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(written) }}
{%- endmacro %}
