{% macro role_databases(database, tables) -%}
    {#- The copy of everything, and for each role what the seed lets it see. A column
        whose class the seed does not give to a role is not for it. -#}
    {%- set databases = [] -%}
    {%- if var('publish_copy') -%}
        {%- do databases.append(
            ('deftunes.duckdb', _role_tables(database, tables))
        ) -%}
    {%- endif -%}
    {%- set roles = {} -%}
    {%- for row in run_query(
        'select role, data_class, form from ' ~ target.database ~ '.seeds.roles order by all'
    ).rows -%}
        {%- do roles.setdefault(row[0], {}).update({row[1]: row[2]}) -%}
    {%- endfor -%}
    {%- for role, forms in roles.items() -%}
        {%- do databases.append(
            ('roles/' ~ role ~ '.duckdb', _role_tables(database, tables, forms))
        ) -%}
    {%- endfor -%}
    {{ return(databases) }}
{%- endmacro %}

{% macro _role_tables(database, tables, forms=none) -%}
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
        {%- set kind = not forms and meta.published_as or 'table' -%}
        {%- set comments = [(' ' ~ kind ~ ' readers.' ~ table, model.description)] -%}
        {%- set is_seen = forms is none or forms.get(meta.data_class or 'general') -%}
        {%- for row in cached_query('describe ' ~ database ~ '.' ~ table) -%}
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
            {%- set groups = _large_groups(table, meta.group_size, seen, forms) -%}
            {%- set statements = [
                'create schema if not exists readers.' ~ adapter.quote(schema),
                'create or replace ' ~ kind ~ ' readers.' ~ table ~ (
                    ' as select ' ~ seen.values() | join(', ') ~ ' from '
                    ~ (groups or 'published.' ~ table) if kind == 'table'
                    else _own_view_definition(database, schema, name)
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

{% macro _own_view_definition(database, schema, name) -%}
    {#- That of a view of the lake for another database that holds the same tables. -#}
    {%- set relation = api.Relation.create(
        database=database, schema=schema, identifier=name
    ) -%}
    {{ return(view_definition(relation).rstrip(';') | replace(database ~ '.', '')) }}
{%- endmacro %}

{% macro _large_groups(table, group_size, seen, forms) -%}
    {#- The groups that are left out hold, together, as many persons as the least that are
        shown: what is missing from a total is never what a few have done. -#}
    {%- if group_size and forms is not none and 'person' not in forms -%}
        (
            select *
            from (select *, ({{ group_size }}) as _persons from published.{{ table }} as report)
            qualify not (
                coalesce(_persons, 0) < {{ var('least_group_size') }}
                or coalesce(sum(_persons) over (
                    order by _persons, {{ seen | join(', ') }}
                    rows between unbounded preceding and 1 preceding
                ), 0) between 1 and {{ var('least_group_size') }} - 1
            )
        )
    {%- endif -%}
{%- endmacro %}
