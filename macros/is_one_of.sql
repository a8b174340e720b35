{% macro is_one_of(column, values) -%}
    {#- A condition. The values are literals, so that the engine opens no other file. -#}
    {%- if values -%}
        {{ column }} in ('{{ values | join("', '") }}')
    {%- else -%}
        false
    {%- endif -%}
{%- endmacro %}
