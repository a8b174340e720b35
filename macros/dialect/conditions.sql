{% macro in_list(column, values) -%}
    {#- A condition. The values are literals, so that the engine opens no other file. -#}
    {%- if values -%}
        {{ column }} in ('{{ values | join("', '") }}')
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}

{% macro null_safe_join_condition(columns, rows, held) -%}
    {#- A condition to join on: the columns are the same, null or not. An equality where
        no null is among the rows: then DuckDB reads only those files of the other side
        that may hold a match, and is ten times as fast. -#}
    {%- set nulls = [] -%}
    {%- for column in columns -%}
        {%- do nulls.append('bool_or(' ~ column ~ ' is null)') -%}
    {%- endfor -%}
    {%- set has_null = run_query('select ' ~ nulls | join(', ') ~ ' from ' ~ rows).rows[0]
    -%}
    {%- for column in columns -%}
        {{ rows }}.{{ column }}
        {{- ' is not distinct from ' if has_null[loop.index0] else ' = ' -}}
        {{ held }}.{{ column }}
        {%- if not loop.last %} and {% endif -%}
    {%- endfor -%}
{%- endmacro %}
