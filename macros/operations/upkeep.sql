{% macro upkeep() -%}
    {#- Maintenance of the lake: `dbt run-operation upkeep`. Rewrites files without
        their deleted rows, merges small files, expires snapshots, and deletes files that
        nothing refers to. Of each day that is over, only the last snapshot stays, since
        the others are steps of builds; it stays for retention_days. Snapshots since the
        oldest kept publication stay, because its catalogue names files that the lake
        may have replaced. At the end all materialized views are refreshed: the snapshot
        of their last refresh may have expired. -#}
    {{ return(adapter.dispatch('upkeep')()) }}
{%- endmacro %}

{% macro duckdb__upkeep() -%}
    {%- do lock_lake() -%}
    {%- do refuse_foreign_files() -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- set publications = publications() -%}
    {%- set kept_since = run_query(
        'select min(published_at)::date from ' ~ publications
        ~ ' where snapshot_id in (select snapshot_id from ' ~ publications
        ~ ' where list_contains(kept_publications(), publication_id))'
    ).columns[0][0] if publications -%}
    {%- set first_day = "date '" ~ kept_since ~ "'" if kept_since else 'current_date' -%}
    {%- set age = "now() - interval '" ~ var('retention_days') ~ " days'" -%}
    {#- With a catalogue in SQLite, DuckLake compares times by the day. -#}
    {%- set unused_since = first_day ~ ' - interval 1 day' if kept_since else age -%}
    {%- set age = 'least(' ~ age ~ ', ' ~ unused_since ~ ')' -%}
    {%- set steps = run_query(
        'select snapshot_id from ducklake_snapshots(' ~ lake ~ ') where snapshot_time < '
        ~ first_day ~ ' qualify snapshot_id < max(snapshot_id) over (partition by '
        ~ 'snapshot_time::date)'
    ).columns[0] | map('int') | list -%}
    {%- set result = rewrite_files() -%}
    {%- do log('ducklake_rewrite_data_files: ' ~ result.rows | length, info=True) -%}
    {#- DuckLake refuses an empty list of versions. -#}
    {%- for step in [
        'ducklake_merge_adjacent_files(' ~ lake ~ ')',
        'ducklake_expire_snapshots(' ~ lake ~ ', versions => ' ~ steps ~ ')',
        'ducklake_expire_snapshots(' ~ lake ~ ', older_than => ' ~ age ~ ')',
        'ducklake_cleanup_old_files(' ~ lake ~ ', older_than => ' ~ unused_since ~ ')',
        'ducklake_delete_orphaned_files(' ~ lake ~ ', older_than => ' ~ age ~ ')',
    ] if '[]' not in step -%}
        {%- set result = run_query('from ' ~ step) -%}
        {%- do log(step.split('(')[0] ~ ': ' ~ result.rows | length, info=True) -%}
    {%- endfor -%}
    {%- set aborted = run_query('select abort_uploads()').columns[0][0] -%}
    {%- if aborted -%}
        {%- do log('Unfinished uploads removed: ' ~ aborted, info=True) -%}
    {%- endif -%}
    {%- do refresh_materialized_views() -%}
{%- endmacro %}
