{% macro upkeep() -%}
    {#- Keeps the lake small and quick: `dbt run-operation upkeep`. Rows that were deleted
        leave their files, small files become large ones, snapshots older than
        retention_days are forgotten, and files that nothing names any more are removed.
        What readers open is a copy, so nothing is taken from them. -#}
    {%- do run_query('select hold_lock()') -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- set age = "now() - interval '" ~ var('retention_days') ~ " days'" -%}
    {%- for step in [
        'ducklake_rewrite_data_files(' ~ lake ~ ')',
        'ducklake_merge_adjacent_files(' ~ lake ~ ')',
        'ducklake_expire_snapshots(' ~ lake ~ ', older_than => ' ~ age ~ ')',
        'ducklake_cleanup_old_files(' ~ lake ~ ', older_than => ' ~ age ~ ')',
        'ducklake_delete_orphaned_files(' ~ lake ~ ', older_than => ' ~ age ~ ')',
    ] -%}
        {%- set done = run_query('from ' ~ step) -%}
        {%- do log(step.split('(')[0] ~ ': ' ~ done.rows | length, info=True) -%}
    {%- endfor -%}
{%- endmacro %}
