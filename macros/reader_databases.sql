{% macro reader_databases(database, tables) -%}
    {#- The copy of everything, and for each role what the seed lets it see. A column
        whose class the seed does not give to a role is not for it. -#}
    {%- set databases = [] -%}
    {%- if var('publish_copy') -%}
        {%- do databases.append(
            ('deftunes.duckdb', reader_tables(database, tables))
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
            ('roles/' ~ role ~ '.duckdb', reader_tables(database, tables, forms))
        ) -%}
    {%- endfor -%}
    {{ return(databases) }}
{%- endmacro %}
