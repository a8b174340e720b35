{% macro erase_history() -%}
    {#- Leaves the lake as it is and nothing of what it was. Readers who have an earlier
        catalogue open lose it. -#}
    {%- do lock_lake() -%}
    {%- do refuse_strange_files() -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {#- Tables that no model makes are not made anew: rows that somebody has deleted are
        still in their files. -#}
    {%- do rewrite_files() -%}
    {%- for table in lake_tables() if not table.is_made -%}
        {%- do recompute_text_statistics(table) -%}
    {%- endfor -%}
    {%- do run_query(
        'from ducklake_expire_snapshots(' ~ lake ~ ", older_than => '9999-12-31')"
    ) -%}
    {%- for step in ['ducklake_cleanup_old_files', 'ducklake_delete_orphaned_files'] -%}
        {%- do run_query('from ' ~ step ~ '(' ~ lake ~ ', cleanup_all => true)') -%}
    {%- endfor -%}
{%- endmacro %}

{% macro survey_person() -%}
    {#- `make forget` asks before it erases: how many rows tell of the person, by table.
        A table that no model makes is not built anew, so nobody may be told of there. -#}
    {%- set strange = [] -%}
    {%- do refuse_strange_files() -%}
    {%- for table in lake_tables() -%}
        {%- if not table.is_made -%}
            {%- set told = "mentions_person(to_json(told)::varchar)" -%}
        {%- elif 'user_id' in table.columns -%}
            {%- set told = 'is_person(told.user_id)' -%}
        {%- else -%}
            {%- set told = 'false' -%}
        {%- endif -%}
        {%- set rows = run_query(
            'select count(*) from ' ~ table.name ~ ' as told where ' ~ told
        ).columns[0][0] if told != 'false' else 0 -%}
        {%- if rows -%}
            {%- do print(
                target.name ~ ': ' ~ table.name ~ ', ' ~ rows ~ ' row'
                ~ ('s' if rows > 1 else '')
            ) -%}
            {%- if not table.is_made -%}{%- do strange.append(table.name) -%}{%- endif -%}
        {%- elif not table.is_made -%}
            {%- do print(
                target.name ~ ': ' ~ table.name ~ ' stays, no model makes it. It was '
                ~ 'searched for the id and the whole name, and holds neither.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for view in run_query(
        "select schema_name || '.' || view_name from duckdb_views() where not internal"
        ~ " and database_name = '" ~ target.database ~ "' and mentions_person(sql)"
    ).columns[0] -%}
        {%- do strange.append(view) -%}
    {%- endfor -%}
    {%- if strange -%}
        {{ exceptions.raise_compiler_error(
            'No model makes ' ~ strange | join(', ') ~ ', which tells of the person. '
            ~ 'Delete these rows or drop it, then run the same again.'
        ) }}
    {%- endif -%}
{%- endmacro %}
