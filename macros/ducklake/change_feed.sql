{% macro materialize_change_feed(name, columns, changes, rows) -%}
    {#- Writes the inserted and the deleted rows of a table into two temporary tables,
        whose names are `rows`, and returns the number of rows in each. Only the columns
        that the query names are compared. A row that was inserted as often as it was
        deleted is in neither table. The `qualify` is needed because DuckLake returns a
        deleted row twice if one commit deletes rows of a file and then drops the
        file. -#}
    {%- set selected = "*" if columns is none else
        "columns(lambda c: lower(c) in ('" ~ columns | join("', '") ~ "'))" -%}
    {%- set queries = [] -%}
    {%- for first, last in changes.snapshot_ranges -%}
        {%- set snapshot_range = "('" ~ name.split('.') | join("', '") ~ "', "
            ~ first ~ ", " ~ last ~ ")" -%}
        {%- do queries.append(
            "select " ~ selected ~ ", 1 as _copies from ducklake_table_insertions"
            ~ snapshot_range ~ " union all select " ~ selected
            ~ ", -1 from ducklake_table_deletions" ~ snapshot_range
            ~ " qualify row_number() over (partition by snapshot_id, rowid) = 1"
        ) -%}
    {%- endfor -%}
    {%- set statements = [
        "create or replace temporary table changes as with changed as ("
        ~ queries | join(" union all ")
        ~ ") select * exclude (_copies), cast(sum(_copies) as bigint) as _copies"
        ~ " from changed group by all having sum(_copies) <> 0"
    ] -%}
    {%- for sign in ['', '-'] -%}
        {%- do statements.append(
            "create or replace temporary table " ~ rows[loop.index0] ~ " as select *"
            ~ " exclude (_copies, _copy) from (select *, unnest(range(" ~ sign
            ~ "_copies)) as _copy from changes where " ~ sign ~ "_copies > 0)"
        ) -%}
    {%- endfor -%}
    {{ return(run_query(
        statements | join('; ') ~ '; select (select count(*) from '
        ~ rows | join('), (select count(*) from ') ~ ')'
    ).rows[0]) }}
{%- endmacro %}

{% macro temporary_file(name) -%}
    {#- The path of a file that is deleted at the end of the run. -#}
    {{ return(cached_query('select spool()')[0][0] ~ '/' ~ name ~ '.parquet') }}
{%- endmacro %}
