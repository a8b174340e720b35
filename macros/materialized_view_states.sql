{% macro materialized_view_states() -%}
    {#- What the registry holds of each materialized view, by `schema.name`, and how its
        groups follow from tables, which the project says. -#}
    {%- set memory = memory() -%}
    {%- if 'materialized views' not in memory -%}
        {%- set states = {} -%}
        {%- for row in run_query(
            "select concat(schema_name, '.', view_name) as name, definition, columns,"
            ~ " is_additive, snapshot_id, recompute_seconds, feed_pace, base_row_count,"
            ~ " row_count, cast(to_json(base_tables) as varchar) as bases from "
            ~ target.database ~ ".operations.materialized_views"
        ).rows -%}
            {%- set state = dict(row.dict()) -%}
            {%- do state.update({'bases': fromjson(state.bases)}) -%}
            {%- do states.update({state.name: state}) -%}
        {%- endfor -%}
        {%- for node in graph.nodes.values()
            if node.schema ~ '.' ~ node.name in states -%}
            {%- do states[node.schema ~ '.' ~ node.name].update({
                'group_key': node.config.get('group_key'),
                'stale_when': node.config.get('stale_when'),
            }) -%}
        {%- endfor -%}
        {%- do memory.update({'materialized views': states}) -%}
    {%- endif -%}
    {{ return(memory['materialized views']) }}
{%- endmacro %}
