{# Its table, and what the registry holds of it. #}
{% macro duckdb__drop_materialized_view(relation) -%}
    drop view if exists {{ relation.incorporate(
        path={'identifier': relation.identifier ~ '_live'}
    ) }};
    drop table if exists {{ relation }};
    delete from {{ target.database }}.operations.materialized_views
    where
        schema_name = '{{ relation.schema }}'
        and view_name = '{{ relation.identifier }}'
{%- endmacro %}
