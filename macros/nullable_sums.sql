{% macro nullable_sums(query) -%}
    {#- The sums that may be null for a group with rows: all but those of a column that
        is not null in each table of the query that has one of this name. The catalogue's
        own tables say it at once; duckdb_columns() reads all of it after each commit. -#}
    {%- set lake = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
    {%- set names = [] -%}
    {%- for name, column in query.sums.items() if column is not none -%}
        {%- set found = run_query(
            "select coalesce(bool_or(cast(nulls_allowed as boolean)), true) from " ~ lake
            ~ "column as held inner join " ~ lake ~ "table as place using (table_id)"
            ~ " inner join " ~ lake ~ "schema as schemas using (schema_id)"
            ~ " where held.end_snapshot is null and place.end_snapshot is null"
            ~ " and lower(concat_ws('.', '" ~ target.database ~ "', schema_name,"
            ~ " table_name)) in ('" ~ query.relations | join("', '")
            ~ "') and column_name = '" ~ column ~ "'"
        ).columns[0][0] -%}
        {%- if found -%}{%- do names.append(name) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(names) }}
{%- endmacro %}
