{% macro erase_history() -%}
    {#- Keeps only the current state of the lake. Readers who have an earlier catalogue
        open lose access to it. -#}
    {{ return(adapter.dispatch('erase_history')()) }}
{%- endmacro %}

{% macro duckdb__erase_history() -%}
    {%- do lock_lake() -%}
    {%- do refuse_foreign_files() -%}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {#- The full refresh does not rebuild tables that no model builds, so rows that were
        deleted from them are still in their files. -#}
    {%- do rewrite_files() -%}
    {%- for table in lake_tables() if not table.is_built -%}
        {%- do recompute_text_statistics(table) -%}
    {%- endfor -%}
    {%- do run_query(
        'from ducklake_expire_snapshots(' ~ lake ~ ", older_than => '9999-12-31')"
    ) -%}
    {%- for step in ['ducklake_cleanup_old_files', 'ducklake_delete_orphaned_files'] -%}
        {%- do run_query('from ' ~ step ~ '(' ~ lake ~ ', cleanup_all => true)') -%}
    {%- endfor -%}
    {#- In a bucket, uploads of killed runs remain. -#}
    {%- do run_query('select abort_uploads()') -%}
{%- endmacro %}

{% macro survey_person() -%}
    {#- `make forget` shows these numbers before it erases. A rebuild does not erase the
        person from tables that no model builds, so those may have no such rows. -#}
    {%- set unmanaged = [] -%}
    {%- do refuse_foreign_files() -%}
    {%- set versions = run_query('select old_versions()').columns[0][0] -%}
    {%- if versions -%}
        {%- do print(
            target.name ~ ': ' ~ versions ~ ' old versions of files in the bucket. They '
            ~ 'will be deleted.'
        ) -%}
    {%- endif -%}
    {%- for table in lake_tables() -%}
        {%- if not table.is_built -%}
            {%- set is_about_person = 'mentions_person(to_json(row_of_table)::varchar)'
            -%}
        {%- elif 'user_id' in table.columns -%}
            {%- set is_about_person = 'is_person(row_of_table.user_id)' -%}
        {%- else -%}
            {%- set is_about_person = 'false' -%}
        {%- endif -%}
        {%- set rows = run_query(
            'select count(*) from ' ~ table.name ~ ' as row_of_table where '
            ~ is_about_person
        ).columns[0][0] if is_about_person != 'false' else 0 -%}
        {%- if rows -%}
            {%- do print(
                target.name ~ ': ' ~ table.name ~ ', ' ~ rows ~ ' row'
                ~ ('s' if rows > 1 else '')
            ) -%}
            {%- if not table.is_built -%}
                {%- do unmanaged.append(table.name) -%}
            {%- endif -%}
        {%- elif not table.is_built -%}
            {%- do print(
                target.name ~ ': ' ~ table.name ~ ' stays, no model builds it. It was '
                ~ 'searched for the id and the whole name, and contains neither.'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for view in run_query(
        "select schema_name || '.' || view_name from duckdb_views() where not internal"
        ~ " and database_name = '" ~ target.database ~ "' and mentions_person(sql)"
    ).columns[0] -%}
        {%- do unmanaged.append(view) -%}
    {%- endfor -%}
    {%- if unmanaged -%}
        {{ exceptions.raise_compiler_error(
            'No model builds ' ~ unmanaged | join(', ') ~ ', which has rows about the '
            ~ 'person. Delete these rows or drop it, then run the same command again.'
        ) }}
    {%- endif -%}
{%- endmacro %}
