{% macro inline_view(sql, name, view) -%}
    {#- A query with that of a view in the place of the view's name. -#}
    {%- set literals = [] -%}
    {%- for text in [sql, name, view] -%}
        {%- do literals.append("'" ~ text | replace("'", "''") ~ "'") -%}
    {%- endfor -%}
    {{ return(run_query(
        'select inline_view(' ~ literals | join(', ') ~ ')'
    ).columns[0][0]) }}
{%- endmacro %}
