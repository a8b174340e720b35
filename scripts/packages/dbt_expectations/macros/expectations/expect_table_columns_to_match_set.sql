{% test expect_table_columns_to_match_set(model, column_list, transform="upper") %}
{#- The engine's catalogue knows the columns; the table itself is not read. -#}
{%- set expected = column_list | map(transform) | list -%}
{%- set found = [] -%}
{%- if execute -%}
    {%- set columns = adapter.get_columns_in_relation(model) -%}
    {%- set found = columns | map(attribute="name") | map(transform) | list -%}
{%- endif -%}
{%- set differences = [] -%}
{%- for column in expected | reject("in", found) -%}
    {%- do differences.append((column, "missing")) -%}
{%- endfor -%}
{%- for column in found | reject("in", expected) -%}
    {%- do differences.append((column, "unexpected")) -%}
{%- endfor -%}
{%- for column, difference in differences %}
select
    {{ dbt.string_literal(column) }} as column_name,
    '{{ difference }}' as difference
{%- if not loop.last %}
union all
{%- endif %}
{%- else %}
select null as column_name, null as difference where 1 = 0
{%- endfor %}
{% endtest %}
