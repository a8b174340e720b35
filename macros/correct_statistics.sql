{% macro correct_statistics(table) -%}
    {#- DuckLake keeps the least and the greatest value that a column ever
        held: they may be a name that is deleted. -#}
    {%- set metadata = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
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
