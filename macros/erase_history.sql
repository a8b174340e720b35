{% macro erase_history() -%}
    {#- Leaves the lake as it is and nothing of what it was. Readers who have an earlier
        catalogue open lose it. -#}
    {%- do run_query('select hold_lock()') -%}
    {%- set made = graph.nodes.values() | map(attribute='relation_name') | list -%}
    {%- set strange = [] -%}
    {%- for table in run_query(
        "select distinct concat('\"', table_catalog, '\".\"', table_schema, '\".\"', "
        ~ "table_name, '\"') from information_schema.columns where table_catalog = '"
        ~ target.database ~ "' and column_name = 'user_id' order by all"
    ).columns[0] if table not in made -%}
        {%- do strange.append(table) -%}
    {%- endfor -%}
    {%- if strange -%}
        {{ exceptions.raise_compiler_error(
            'No model makes ' ~ strange | join(', ') ~ ', so nobody knows whom it tells '
            ~ 'of. Drop it, then run the same again.'
        ) }}
    {%- endif -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- do run_query(
        'from ducklake_expire_snapshots(' ~ lake ~ ", older_than => 'infinity')"
    ) -%}
    {%- for step in ['ducklake_cleanup_old_files', 'ducklake_delete_orphaned_files'] -%}
        {%- do run_query('from ' ~ step ~ '(' ~ lake ~ ', cleanup_all => true)') -%}
    {%- endfor -%}
{%- endmacro %}
