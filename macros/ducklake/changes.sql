{% macro snapshot_changes(snapshot_id) -%}
    {#- What happened to the tables and views of the lake after a snapshot, by id, whether
        every snapshot since then is remembered, and the spans of snapshots that changed
        anything: files written anew without the rows that they had lost are no change.
        The catalogue's own tables say it in a tenth of the time that ducklake_snapshots
        takes. -#}
    {%- set rows = run_query(
        'select snapshot_id, changes_made from ' ~ ducklake_catalog()
        ~ 'snapshot_changes where snapshot_id >= ' ~ snapshot_id
        ~ ' order by snapshot_id'
    ).rows -%}
    {%- set current = (rows | last)[0] | int if rows else snapshot_id -%}
    {%- set kinds = {} -%}
    {%- set spans = [] -%}
    {%- set span = namespace(start=snapshot_id + 1) -%}
    {%- for row in rows if row[0] > snapshot_id -%}
        {%- for kind, id in modules.re.findall('(\\w+):(\\d+)(?=,|$)', row[1] or '') -%}
            {%- do kinds.setdefault(id | int, []).append(kind) -%}
        {%- endfor -%}
        {%- set is_rewrite = 'rewrite_delete' in (row[1] or '') -%}
        {%- set end = row[0] - 1 if is_rewrite else row[0] -%}
        {%- if (is_rewrite or loop.last) and span.start <= end -%}
            {%- do spans.append((span.start, end)) -%}
        {%- endif -%}
        {%- if is_rewrite -%}{%- set span.start = row[0] + 1 -%}{%- endif -%}
    {%- endfor -%}
    {{ return({
        'snapshot_id': current,
        'is_whole': rows | length == current - snapshot_id + 1,
        'kinds': kinds,
        'spans': spans,
    }) }}
{%- endmacro %}

{% macro changed_tables(state, changes) -%}
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

{% macro tables_at_snapshot(snapshot_id, models) -%}
    {#- Name and id of the tables of the lake at a snapshot, for changed_tables. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set tables = [] -%}
    {%- for row in run_query(
        'select schema_name, table_name, table_id from ' ~ lake
        ~ 'table as known inner join ' ~ lake ~ 'schema using (schema_id)'
        ~ ' where known.begin_snapshot <= ' ~ snapshot_id
        ~ ' and coalesce(known.end_snapshot > ' ~ snapshot_id ~ ', true) order by all'
    ).rows if (row[0], row[1]) in models -%}
        {%- do tables.append({
            'name': target.database ~ '.' ~ row[0] ~ '.' ~ row[1],
            'id': row[2] | int,
            'is_linear': true,
        }) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}
