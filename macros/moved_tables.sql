{% macro moved_tables(state, changes) -%}
    {#- The tables that have moved since a refresh, what forbids to look at their changes
        alone, and the tables whose files were merged since: from before that, their
        feed loses deletions. -#}
    {%- set merges = ['merge_adjacent', 'compacted_table'] -%}
    {%- set harmless = merges + ['rewrite_delete'] -%}
    {%- set names = [] -%}
    {%- set doubts = [] -%}
    {%- set merged = [] -%}
    {%- for base in state.bases -%}
        {%- set told = changes.kinds.get(base.id, []) -%}
        {%- set kinds = told | reject('in', harmless) | list -%}
        {%- if told | select('in', merges) | list -%}
            {%- do merged.append(base.name) -%}
        {%- endif -%}
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
    {{ return({
        'names': names,
        'doubt': doubts | first,
        'merged': merged,
    }) }}
{%- endmacro %}
