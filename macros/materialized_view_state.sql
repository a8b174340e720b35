{% macro materialized_view_state(relation) -%}
    {#- What the registry holds of a materialized view. -#}
    {%- set row = run_query(
        "select definition, columns, is_additive, snapshot_id, recompute_seconds,"
        ~ " feed_pace, base_row_count, row_count, cast(to_json(base_tables) as varchar) as bases"
        ~ " from " ~ target.database ~ ".operations.materialized_views where schema_name"
        ~ " = '" ~ relation.schema ~ "' and view_name = '" ~ relation.identifier ~ "'"
    ).rows[0] -%}
    {%- set state = dict(row.dict()) -%}
    {%- do state.update({'bases': fromjson(state.bases)}) -%}
    {{ return(state) }}
{%- endmacro %}
