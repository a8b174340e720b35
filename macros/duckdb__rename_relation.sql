{# The adapter's own, knowing materialized views: what takes another name is one no
   longer. #}
{% macro duckdb__rename_relation(from_relation, to_relation) -%}
    {%- do forget_relation(from_relation) -%}
    {%- do forget_relation(to_relation) -%}
    {%- set name = adapter.quote(to_relation.identifier) -%}
    {%- call statement('rename_relation') -%}
        {%- if from_relation.is_materialized_view -%}
            alter table {{ from_relation }} rename to {{ name }};
            {{ duckdb__drop_materialized_view(from_relation) }}
        {%- else -%}
            alter {{ to_relation.type }} {{ from_relation }} rename to {{ name }}
        {%- endif -%}
    {%- endcall -%}
{%- endmacro %}
