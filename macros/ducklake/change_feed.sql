{% macro materialize_change_feed(name, columns, state, changes, rows) -%}
    {#- Puts what a table gained and lost since a refresh into two temporary tables. Only
        the columns count that the query names; what was gained and lost cancels out. Of a
        file that one commit first loses rows of and then drops, DuckLake says those rows
        twice. Returns how many rows that leaves. -#}
    {%- set chosen = "*" if columns is none else
        "columns(lambda c: lower(c) in ('" ~ columns | join("', '") ~ "'))" -%}
    {%- set told = [] -%}
    {%- for first, last in changes.spans -%}
        {%- set span = "('" ~ name.split('.') | join("', '") ~ "', " ~ first ~ ", "
            ~ last ~ ")" -%}
        {%- do told.append(
            "select " ~ chosen ~ ", 1 as _copies from ducklake_table_insertions" ~ span
            ~ " union all select " ~ chosen ~ ", -1 from ducklake_table_deletions" ~ span
            ~ " qualify row_number() over (partition by snapshot_id, rowid) = 1"
        ) -%}
    {%- endfor -%}
    {%- set statements = [
        "create or replace temporary table changes as with changed as ("
        ~ told | join(" union all ")
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
    {#- The path of a file that lasts as long as the run. -#}
    {{ return(cached_query('select spool()')[0][0] ~ '/' ~ name ~ '.parquet') }}
{%- endmacro %}
