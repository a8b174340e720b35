{% macro upkeep() -%}
    {#- Keeps the lake small and quick: `dbt run-operation upkeep`. Rows that were deleted
        leave their files, small files become large ones, snapshots older than
        retention_days are forgotten, and files that nothing names any more are removed.
        What has happened since the oldest publication that is kept stays: its catalogue
        names files that the lake itself may have replaced. A materialized view that was
        last refreshed before what is still known is refreshed. -#}
    {%- do lock_lake() -%}
    {%- do refuse_strange_files() -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- set publications = publications() -%}
    {%- set age = "now() - interval '" ~ var('retention_days') ~ " days'" -%}
    {%- set kept_since = run_query(
        'select min(published_at)::date from ' ~ publications
        ~ ' where snapshot_id in (select snapshot_id from ' ~ publications
        ~ ' where list_contains(kept_publications(), publication_id))'
    ).columns[0][0] if publications -%}
    {%- if kept_since -%}
        {#- DuckLake compares times with those of a SQLite catalogue by the day. -#}
        {%- set age = 'least(' ~ age ~ ", date '" ~ kept_since ~ "' - interval 1 day)" -%}
    {%- endif -%}
    {%- set rewritten = rewrite_files() -%}
    {%- do log('ducklake_rewrite_data_files: ' ~ rewritten.rows | length, info=True) -%}
    {%- for step in [
        'ducklake_merge_adjacent_files(' ~ lake ~ ')',
        'ducklake_expire_snapshots(' ~ lake ~ ', older_than => ' ~ age ~ ')',
        'ducklake_cleanup_old_files(' ~ lake ~ ', older_than => ' ~ age ~ ')',
        'ducklake_delete_orphaned_files(' ~ lake ~ ', older_than => ' ~ age ~ ')',
    ] -%}
        {%- set done = run_query('from ' ~ step) -%}
        {%- do log(step.split('(')[0] ~ ': ' ~ done.rows | length, info=True) -%}
    {%- endfor -%}
    {%- do refresh_materialized_views() -%}
{%- endmacro %}
