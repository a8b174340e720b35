{% macro nullable_sums(query) -%}
    {#- The sums that may be null for a group with rows: all but those of a column that
        is not null in each table of the query that has one of this name. -#}
    {%- set names = [] -%}
    {%- for name, column in query.sums.items() if column is not none -%}
        {%- set found = run_query(
            "select coalesce(bool_or(is_nullable), true) from duckdb_columns() where"
            ~ " database_name || '.' || schema_name || '.' || table_name in ('"
            ~ query.relations | join("', '") ~ "') and column_name = '" ~ column ~ "'"
        ).columns[0][0] -%}
        {%- if found -%}{%- do names.append(name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}
