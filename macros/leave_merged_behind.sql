{% macro leave_merged_behind(relation, state, changes) -%}
    {#- The statements that let the next refresh of a view, and its live variant, read the
        feed from after the files of its tables were merged. -#}
    {%- do memory().get('materialized views', {}).pop(state.name, none) -%}
    {{ live_view(relation, traced_query(state.definition), state, changes) }};
    update {{ target.database }}.operations.materialized_views
    set snapshot_id = {{ changes.snapshot_id }}
    where schema_name = '{{ relation.schema }}' and view_name = '{{ relation.identifier }}'
{%- endmacro %}
