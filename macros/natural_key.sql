{% macro natural_key(columns) -%}
    {%- if columns | length == 1 -%}
        cast({{ columns[0] }} as {{ dbt.type_string() }})
    {%- else -%}
        {%- set texts = [] -%}
        {%- for column in columns -%}
            {%- do texts.append(
                "coalesce(cast(" ~ column ~ " as " ~ dbt.type_string() ~ "), '<null>')"
            ) -%}
        {%- endfor -%}
        concat_ws('|', {{ texts | join(', ') }})
    {%- endif -%}
{%- endmacro %}
