{% macro natural_key(columns) -%}
    {#- Of several columns each comes with its length, so that no two records have the
        same text. -#}
    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append("cast(" ~ column ~ " as " ~ dbt.type_string() ~ ")") -%}
    {%- endfor -%}
    {%- if texts | length == 1 -%}
        {{ texts[0] }}
    {%- else -%}
        {%- for text in texts -%}
            coalesce({{ dbt.length(text) }} || ':' || {{ text }}, ':')
            {%- if not loop.last %} || {% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
