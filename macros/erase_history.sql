{% macro erase_history() -%}
    {#- Leaves the lake as it is and nothing of what it was. Readers who have an earlier
        catalogue open lose it. -#}
    {%- do hold_lake() -%}
    {%- do refuse_strange_files() -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {#- Tables that no model makes are not made anew: rows that somebody has deleted are
        still in their files. -#}
    {%- do rewrite_files() -%}
    {%- for table in lake_tables() if not table.is_made -%}
        {%- do correct_statistics(table) -%}
    {%- endfor -%}
    {%- do run_query(
        'from ducklake_expire_snapshots(' ~ lake ~ ", older_than => '9999-12-31')"
    ) -%}
    {%- for step in ['ducklake_cleanup_old_files', 'ducklake_delete_orphaned_files'] -%}
        {%- do run_query('from ' ~ step ~ '(' ~ lake ~ ', cleanup_all => true)') -%}
    {%- endfor -%}
{%- endmacro %}
