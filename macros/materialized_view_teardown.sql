{# dbt's own, for what is there: each attempt to drop is a commit. #}
{% macro materialized_view_teardown(
    backup_relation, intermediate_relation, post_hooks
) -%}
    {%- for relation in [backup_relation, intermediate_relation] -%}
        {%- do drop_relation_if_exists(load_cached_relation(relation)) -%}
    {%- endfor -%}
    {{ run_hooks(post_hooks, inside_transaction=false) }}
{%- endmacro %}
