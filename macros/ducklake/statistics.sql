{% macro restore_column_statistics() -%}
    {#- Repairs the minimum and maximum of columns in the lake's catalogue. DuckLake 1.0
        loses them when it rewrites a table whose first file has only nulls in the
        column, and then takes those of the next inserted rows: a filter finds no rows,
        and a sort returns wrong values. The statistics of each file are right and are
        used here. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set types = run_query(
        'select distinct column_type from ' ~ lake ~ 'column where end_snapshot is null'
        ~ " and regexp_matches(column_type, '^(boolean|u?int|float|decimal|varchar|uuid"
        ~ "|date|time)')"
    ).columns[0].values() -%}
    {%- set too_narrow -%}
        with files as materialized (
            select table_id, column_id, column_type, min_value, max_value
            from {{ lake }}file_column_stats
            semi join (from {{ lake }}data_file where end_snapshot is null)
                using (data_file_id)
            inner join {{ lake }}column as all_columns using (table_id, column_id)
            where end_snapshot is null and min_value is not null
        )
        {% for type in types %}
            {# DuckLake writes booleans as 0 and 1. #}
            {% set kind = {
                'boolean': 'integer', 'float32': 'float', 'float64': 'double'
            }.get(type, type) %}
            select
                table_id, column_id,
                least(stats.min_value::{{ kind }}, low)::varchar as low,
                greatest(stats.max_value::{{ kind }}, high)::varchar as high
            from {{ lake }}table_column_stats as stats
            inner join (
                select table_id, column_id, min(min_value::{{ kind }}) as low,
                    max(max_value::{{ kind }}) as high
                from files where column_type = '{{ type }}' group by all
            ) as files using (table_id, column_id)
            where stats.min_value is null
                or low < stats.min_value::{{ kind }}
                or stats.max_value::{{ kind }} < high
            {{ 'union all' if not loop.last }}
        {% endfor %}
    {%- endset -%}
    {%- if types and run_query(too_narrow).rows -%}
        {%- do run_query(
            'update ' ~ lake ~ 'table_column_stats as stats set min_value = low,'
            ~ ' max_value = high from (' ~ too_narrow ~ ') as repaired where'
            ~ ' stats.table_id = repaired.table_id'
            ~ ' and stats.column_id = repaired.column_id'
        ) -%}
        {#- DuckLake reads the statistics again after a file was added. -#}
        {%- set table = target.database ~ '.'
            ~ adapter.quote('statistics are known') -%}
        {%- do run_query('create table ' ~ table ~ ' as select true as is_known') -%}
        {%- do run_query('drop table ' ~ table) -%}
    {%- endif -%}
{%- endmacro %}

{% macro recompute_text_statistics(table) -%}
    {#- Sets the minimum and maximum of each text column to those of the rows that are
        left. DuckLake keeps the least and greatest value that a column ever held, which
        may be the name of an erased person. -#}
    {%- set metadata = ducklake_catalog() -%}
    {%- set id = relation_ids([table.schema_and_name]) | first -%}
    {%- for column in table.text_columns -%}
        {%- set name = adapter.quote(column) -%}
        {%- do run_query(
            'update ' ~ metadata ~ 'table_column_stats set'
            ~ ' min_value = remaining.least, max_value = remaining.greatest'
            ~ ' from (select min(' ~ name ~ ')::varchar as least, max(' ~ name
            ~ ')::varchar as greatest from ' ~ table.name
            ~ ') as remaining where table_id = ' ~ id
            ~ ' and column_id = (select column_id from ' ~ metadata ~ 'column where '
            ~ 'table_id = ' ~ id ~ " and end_snapshot is null and column_name = '"
            ~ column ~ "')"
        ) -%}
    {%- endfor -%}
{%- endmacro %}
