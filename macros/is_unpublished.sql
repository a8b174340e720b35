{% macro is_unpublished(table, column) -%}
    {#- A condition: the row has a value of the column of which the table has gained rows
        since what is published. True where that cannot be told. -#}
    {%- set since = published_commit() -%}
    {%- if since is none -%}
        {{ return('true') }}
    {%- endif -%}
    {%- set changes = lake_changes(since) -%}
    {%- if changes.snapshot_id == since -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set bases = tables_at(since, [(table.schema, table.identifier)]) -%}
    {%- set moved = moved_tables({'bases': bases, 'is_additive': true}, changes) -%}
    {%- if not bases or moved.doubt or moved.merged -%}
        {{ return('true') }}
    {%- elif not moved.names -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set told = [] -%}
    {%- for first, last in changes.spans -%}
        {%- do told.append(
            'select distinct ' ~ column ~ " from ducklake_table_insertions('" ~ table.database
            ~ "', '" ~ table.schema ~ "', '" ~ table.identifier ~ "', " ~ first ~ ', '
            ~ last ~ ')'
        ) -%}
    {%- endfor -%}
    {%- set gained = told | join(' union ') -%}
    {%- if column != '_batch_id' -%}
        {{ return(column ~ ' in (' ~ gained ~ ')') }}
    {%- endif -%}
    {{ return(is_one_of(column, remembered(gained) | map('first') | list)) }}
{%- endmacro %}
