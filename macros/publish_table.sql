{% macro publish_table(table, rows) -%}
    {#- A copy whose rows do not add up in the end is not trusted. -#}
    {%- if rows -%}
        {%- do run_query(apply_rows(table, *rows)) -%}
    {%- endif -%}
    {%- if rows is none or run_query(
        'select (select count(*) from readers.' ~ table.relation
        ~ ') <> (select count(*) from published.' ~ table.relation ~ ')'
    ).columns[0][0] -%}
        {%- do run_query(table.statements | join(';\n')) -%}
        {{ return('written anew') }}
    {%- endif -%}
    {{ return('brought up to date' if rows else 'left') }}
{%- endmacro %}
