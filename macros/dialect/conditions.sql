{% macro in_list(column, values) -%}
    {#- The values are literals, so that the engine skips files that hold none of
        them. -#}
    {%- if values -%}
        {{ column }} in ('{{ values | join("', '") }}')
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{% macro null_safe_join_condition(columns, rows, table) -%}
    {#- A join condition: each column is equal on both sides, or null on both sides. A
        column without nulls in `rows` gets a plain `=`: DuckDB then reads only those
        files of `table` that may hold a match, and is ten times as fast. -#}
    {%- set nulls = [] -%}
    {%- for column in columns -%}
        {%- do nulls.append('bool_or(' ~ column ~ ' is null)') -%}
    {%- endfor -%}
    {%- set has_null = run_query(
        'select ' ~ nulls | join(', ') ~ ' from ' ~ rows
    ).rows[0] -%}
    {%- for column in columns -%}
        {{ rows }}.{{ column }}
        {{- ' is not distinct from ' if has_null[loop.index0] else ' = ' -}}
        {{ table }}.{{ column }}
        {%- if not loop.last %} and {% endif -%}
    {%- endfor -%}
{%- endmacro %}
