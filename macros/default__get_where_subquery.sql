{# dbt's own macro knowing one word more: with `where: is_new_batch` a test looks at the
   batches that the build at hand reads, so that it costs what the day weighs. #}
{% macro default__get_where_subquery(relation) -%}
    {%- set where = config.get('where') -%}
    {%- if where == 'is_new_batch' and execute -%}
        {%- set relation = read_once(relation) -%}
        {%- set where = is_read() -%}
    {%- endif -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ where }}) as dbt_subquery
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}
