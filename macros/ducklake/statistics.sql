{% macro restore_column_statistics() -%}
    {#- Has the lake's catalogue know again which values its columns hold. DuckLake 1.0
        forgets a column's least and greatest when it rewrites a table whose first file
        is null there, and takes those of the next rows for all: a filter then finds
        nothing, and a sort gives other numbers than are stored. Each file's are right. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set types = run_query(
        'select distinct column_type from ' ~ lake ~ 'column where end_snapshot is null'
        ~ " and regexp_matches(column_type, '^(boolean|u?int|float|decimal|varchar|uuid"
        ~ "|date|time)')"
    ).columns[0].values() -%}
    {%- set narrow -%}
        with files as materialized (
            select table_id, column_id, column_type, min_value, max_value
            from {{ lake }}file_column_stats
            semi join (from {{ lake }}data_file where end_snapshot is null)
                using (data_file_id)
            inner join {{ lake }}column as known using (table_id, column_id)
            where end_snapshot is null and min_value is not null
        )
        {% for type in types %}
            {# DuckLake writes booleans as 0 and 1. #}
            {% set kind = {
                'boolean': 'integer', 'float32': 'float', 'float64': 'double'
            }.get(type, type) %}
            select
                table_id, column_id,
                least(held.min_value::{{ kind }}, low)::varchar as low,
                greatest(held.max_value::{{ kind }}, high)::varchar as high
            from {{ lake }}table_column_stats as held
            inner join (
                select table_id, column_id, min(min_value::{{ kind }}) as low,
                    max(max_value::{{ kind }}) as high
                from files where column_type = '{{ type }}' group by all
            ) as files using (table_id, column_id)
            where held.min_value is null
                or low < held.min_value::{{ kind }} or held.max_value::{{ kind }} < high
            {{ 'union all' if not loop.last }}
        {% endfor %}
    {%- endset -%}
    {%- if types and run_query(narrow).rows -%}
        {%- do run_query(
            'update ' ~ lake ~ 'table_column_stats as held set min_value = low,'
            ~ ' max_value = high from (' ~ narrow ~ ') as found where held.table_id ='
            ~ ' found.table_id and held.column_id = found.column_id'
        ) -%}
        {#- DuckLake looks up what it knows of a table when a file was added. -#}
        {%- set file = target.database ~ '.' ~ adapter.quote('statistics are known') -%}
        {%- do run_query('create table ' ~ file ~ ' as select true as is_known') -%}
        {%- do run_query('drop table ' ~ file) -%}
    {%- endif -%}
{%- endmacro %}

{% macro recompute_text_statistics(table) -%}
    {#- DuckLake keeps the least and the greatest value that a column ever
        held: they may be a name that is deleted. -#}
    {%- set metadata = ducklake_catalog() -%}
    {%- set id = relation_ids([table.place]) | first -%}
    {%- for column in table.texts -%}
        {%- set name = adapter.quote(column) -%}
        {%- do run_query(
            'update ' ~ metadata ~ 'table_column_stats set min_value = held.least, '
            ~ 'max_value = held.greatest from (select min(' ~ name ~ ')::varchar as '
            ~ 'least, max(' ~ name ~ ')::varchar as greatest from ' ~ table.name
            ~ ') as held where table_id = ' ~ id
            ~ ' and column_id = (select column_id from ' ~ metadata ~ 'column where '
            ~ 'table_id = ' ~ id ~ " and end_snapshot is null and column_name = '"
            ~ column ~ "')"
        ) -%}
    {%- endfor -%}
{%- endmacro %}
