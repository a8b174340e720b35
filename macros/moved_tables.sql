{% macro moved_tables(state, changes) -%}
    {#- The tables that have moved since a refresh, and what forbids to look at their
        changes alone. -#}
    {%- set harmless = ['merge_adjacent', 'rewrite_delete', 'compacted_table'] -%}
    {%- set names = [] -%}
    {%- set doubts = [] -%}
    {%- for base in state.bases -%}
        {%- set kinds = changes.kinds.get(base.id, []) | reject('in', harmless) | list -%}
        {%- if base.id is none -%}
            {%- do doubts.append('nobody can tell when ' ~ base.name ~ ' moves') -%}
        {%- elif kinds | reject('in', ['inserted_into_table', 'deleted_from_table'])
            | list -%}
            {%- do doubts.append(base.name ~ ' was altered or made anew') -%}
        {%- elif kinds -%}
            {%- do names.append(base.name) -%}
            {%- if state.is_additive and not base.is_linear -%}
                {%- do doubts.append(
                    base.name ~ ' moved, which is read twice, outer-joined or in a view'
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not changes.is_whole -%}
        {%- do doubts.append('a snapshot in between is forgotten') -%}
    {%- elif names and not state.is_additive and not state.group_key -%}
        {%- do doubts.append(
            names[0] ~ ' moved, and the view has neither additive nor a group_key'
        ) -%}
    {%- endif -%}
    {{ return({'names': names, 'doubt': doubts | first}) }}
{%- endmacro %}
