{% macro is_unpublished(table) -%}
    {#- A condition on the batches of which a table has gained rows since what is
        published; true where that cannot be told. -#}
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
    {%- if not bases or moved.doubt -%}
        {{ return('true') }}
    {%- elif not moved.names -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set batches = remembered(
        "select distinct _batch_id from ducklake_table_insertions('" ~ table.database
        ~ "', '" ~ table.schema ~ "', '" ~ table.identifier ~ "', " ~ (since + 1) ~ ', '
        ~ changes.snapshot_id ~ ')'
    ) -%}
    {{ return(is_one_of('_batch_id', batches | map('first') | list)) }}
{%- endmacro %}
