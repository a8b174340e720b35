{% macro role_databases(database, tables) -%}
    {#- The databases to publish, each with its tables: one with everything, and one per
        role with the columns whose data class the seed roles gives to the role. -#}
    {%- set databases = [] -%}
    {%- if var('publish_copy') -%}
        {%- do databases.append(
            ('deftunes.duckdb', _role_tables(database, tables))
        ) -%}
    {%- endif -%}
    {%- set roles = {} -%}
    {%- for role, data_class, form in run_query(
        'select role, data_class, form from ' ~ target.database
        ~ '.seeds.roles order by all'
    ).rows -%}
        {%- do roles.setdefault(role, {}).update({data_class: form}) -%}
    {%- endfor -%}
    {%- for role, masking in roles.items() -%}
        {%- do databases.append(
            ('roles/' ~ role ~ '.duckdb', _role_tables(database, tables, masking))
        ) -%}
    {%- endfor -%}
    {{ return(databases) }}
{%- endmacro %}

{% macro _role_tables(database, tables, masking=none) -%}
    {#- The tables of a database with the statements that write them. A table is written
        from its visible columns only, so that the file never holds a hidden value. -#}
    {%- set models = {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- do models.update({(node.schema, node.name): node}) -%}
    {%- endfor -%}
    {%- set role_tables = [] -%}
    {%- for schema, name in tables -%}
        {%- set table = adapter.quote(schema) ~ '.' ~ adapter.quote(name) -%}
        {%- set node = models.get((schema, name), {'config': {'meta': {}}}) -%}
        {%- set meta = node.config.meta -%}
        {%- set type = not masking and meta.publish_as or 'table' -%}
        {%- set comments = [(' ' ~ type ~ ' readers.' ~ table, node.description)] -%}
        {%- set visible_columns = _visible_columns(
            database, table, node, masking, comments
        ) -%}
        {%- if visible_columns -%}
            {%- set groups = _large_groups(
                table, meta.group_size, visible_columns, masking
            ) -%}
            {%- set statements = [
                'create schema if not exists readers.' ~ adapter.quote(schema),
                'create or replace ' ~ type ~ ' readers.' ~ table ~ (
                    ' as select ' ~ visible_columns.values() | join(', ') ~ ' from '
                    ~ (groups or 'published.' ~ table) if type == 'table'
                    else _own_view_definition(database, schema, name)
                ),
            ] -%}
            {%- for object, description in comments if description -%}
                {%- do statements.append(
                    'comment on' ~ object ~ ' is ' ~ duckdb_escape_comment(description)
                ) -%}
            {%- endfor -%}
            {%- do role_tables.append({
                'name': target.database ~ '.' ~ schema ~ '.' ~ name,
                'relation': table,
                'visible_columns': visible_columns,
                'groups': groups,
                'statements': statements,
            }) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(role_tables) }}
{%- endmacro %}

{% macro _visible_columns(database, table, node, masking, comments) -%}
    {#- The columns of a table that a role may see, each with the expression that gives
        its values; adds their descriptions to the comments. `masking` says, for each
        data class that the role may see, whether values are exact or rounded; without
        it all columns are exact. -#}
    {%- set undescribed = {'config': {'meta': {}}} -%}
    {%- set data_class = node.config.meta.data_class or 'general' -%}
    {%- set is_visible = masking is none or masking.get(data_class) -%}
    {%- set columns = {} -%}
    {%- for row in cached_query('describe ' ~ database ~ '.' ~ table) -%}
        {%- set column = adapter.quote(row[0]) -%}
        {%- set described = node.get('columns', {}).get(row[0], undescribed) -%}
        {%- set form = 'exact' if masking is none
            else is_visible and masking.get(described.config.meta.data_class) -%}
        {%- set description = described.description -%}
        {%- if form == 'rounded' -%}
            {%- do columns.update({column: 'round(' ~ column ~ ') as ' ~ column}) -%}
            {%- set description = description ~ ' Rounded to a whole number.' -%}
        {%- elif form == 'exact' -%}
            {#- Reading a sum of 128 bits takes a hundred times as long as one of
                64. -#}
            {%- do columns.update({column: 'cast(' ~ column ~ ' as '
                ~ row[1].replace('(38,', '(18,') ~ ') as ' ~ column}) -%}
        {%- endif -%}
        {%- do comments.append((
            ' column readers.' ~ table ~ '.' ~ column, description if form else none
        )) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}

{% macro _own_view_definition(database, schema, name) -%}
    {#- The definition of a view without the name of the database, for a database that
        has the same tables. -#}
    {%- set relation = api.Relation.create(
        database=database, schema=schema, identifier=name
    ) -%}
    {{ return(view_definition(relation).rstrip(';') | replace(database ~ '.', '')) }}
{%- endmacro %}

{% macro _large_groups(table, group_size, visible_columns, masking) -%}
    {#- A subquery: the rows of a report without the rows about fewer than
        least_group_size persons, for a role that may not see persons. If the hidden
        rows together are about fewer persons than that, further rows are hidden, so
        that the rest of a total is never about a few persons. Nothing for other roles
        and reports. -#}
    {%- if group_size and masking is not none and 'person' not in masking -%}
        (
            select *
            from (
                select *, ({{ group_size }}) as _persons
                from published.{{ table }} as report
            )
            qualify not (
                coalesce(_persons, 0) < {{ var('least_group_size') }}
                or coalesce(sum(_persons) over (
                    order by _persons, {{ visible_columns | join(', ') }}
                    rows between unbounded preceding and 1 preceding
                ), 0) between 1 and {{ var('least_group_size') }} - 1
            )
        )
    {%- endif -%}
{%- endmacro %}
