{% macro snapshot_changes(snapshot_id) -%}
    {#- What has changed in the lake after a snapshot. `snapshot_id`: the latest
        snapshot. `has_all_snapshots`: none in between has expired. `change_types`: by
        the id of a table or view. `snapshot_ranges`: all snapshots but those that only
        rewrote files without their deleted rows. The query reads the catalogue's
        tables, which takes a tenth of the time of ducklake_snapshots. -#}
    {%- set rows = run_query(
        'select snapshot_id, changes_made from ' ~ ducklake_catalog()
        ~ 'snapshot_changes where snapshot_id >= ' ~ snapshot_id
        ~ ' order by snapshot_id'
    ).rows -%}
    {%- set current = (rows | last)[0] | int if rows else snapshot_id -%}
    {%- set change_types = {} -%}
    {%- set ranges = [] -%}
    {%- set current_range = namespace(start=snapshot_id + 1) -%}
    {%- for row in rows if row[0] > snapshot_id -%}
        {%- for type, id in modules.re.findall('(\\w+):(\\d+)(?=,|$)', row[1] or '') -%}
            {%- do change_types.setdefault(id | int, []).append(type) -%}
        {%- endfor -%}
        {%- set is_rewrite = 'rewrite_delete' in (row[1] or '') -%}
        {%- set end = row[0] - 1 if is_rewrite else row[0] -%}
        {%- if (is_rewrite or loop.last) and current_range.start <= end -%}
            {%- do ranges.append((current_range.start, end)) -%}
        {%- endif -%}
        {%- if is_rewrite -%}{%- set current_range.start = row[0] + 1 -%}{%- endif -%}
    {%- endfor -%}
    {{ return({
        'snapshot_id': current,
        'has_all_snapshots': rows | length == current - snapshot_id + 1,
        'change_types': change_types,
        'snapshot_ranges': ranges,
    }) }}
{%- endmacro %}

{% macro changed_tables(state, changes) -%}
    {#- `names`: the tables that have changed since a refresh. `fallback_reason`: why
        the change feed cannot be used, or none. `compacted`: the tables whose files
        were merged since then, because DuckLake's feed omits deletions across a
        merge. -#}
    {%- set merges = ['merge_adjacent', 'compacted_table'] -%}
    {%- set rewrites = merges + ['rewrite_delete'] -%}
    {%- set names = [] -%}
    {%- set reasons = [] -%}
    {%- set compacted = [] -%}
    {%- for table in state.base_tables -%}
        {%- set all_types = changes.change_types.get(table.id, []) -%}
        {%- set types = all_types | reject('in', rewrites) | list -%}
        {%- if all_types | select('in', merges) | list -%}
            {%- do compacted.append(table.name) -%}
        {%- endif -%}
        {%- if table.id is none -%}
            {%- do reasons.append('the lake has no history of ' ~ table.name) -%}
        {%- elif types | reject('in', ['inserted_into_table', 'deleted_from_table'])
            | list -%}
            {%- do reasons.append(table.name ~ ' was altered or replaced') -%}
        {%- elif types -%}
            {%- do names.append(table.name) -%}
            {%- if state.is_additive and not table.is_linear -%}
                {%- do reasons.append(
                    table.name ~ ' changed, and the query reads it twice, outer-joins'
                    ~ ' it or reads it through a view'
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not changes.has_all_snapshots -%}
        {%- do reasons.append('a snapshot since then has expired') -%}
    {%- elif names and not state.is_additive and not state.group_key -%}
        {%- do reasons.append(
            names[0] ~ ' changed, and the view has neither additive nor group_key'
        ) -%}
    {%- endif -%}
    {{ return({
        'names': names,
        'fallback_reason': reasons | first,
        'compacted': compacted,
    }) }}
{%- endmacro %}

{% macro tables_at_snapshot(snapshot_id, models) -%}
    {#- The tables of the lake at a snapshot, in the form that changed_tables needs. -#}
    {%- set lake = ducklake_catalog() -%}
    {%- set tables = [] -%}
    {%- for row in run_query(
        'select schema_name, table_name, table_id from ' ~ lake
        ~ 'table as tables inner join ' ~ lake ~ 'schema using (schema_id)'
        ~ ' where tables.begin_snapshot <= ' ~ snapshot_id
        ~ ' and coalesce(tables.end_snapshot > ' ~ snapshot_id ~ ', true) order by all'
    ).rows if (row[0], row[1]) in models -%}
        {%- do tables.append({
            'name': target.database ~ '.' ~ row[0] ~ '.' ~ row[1],
            'id': row[2] | int,
            'is_linear': true,
        }) -%}
    {%- endfor -%}
    {{ return(tables) }}
{%- endmacro %}
