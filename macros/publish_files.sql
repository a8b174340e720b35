{% macro publish_files(folder, databases, publication_id, changes={}) -%}
    {#- Writes the databases from the catalogue in the folder, or brings those of an
        earlier publication up to date, then puts them and it in the place of what was
        published, all at once. -#}
    {%- for name, tables in databases -%}
        {%- set is_started = changes.base and run_query(
            "select start_database('" ~ name ~ "', '" ~ changes.base ~ "')"
        ).columns[0][0] -%}
        {%- do run_query("attach '" ~ folder ~ '/' ~ name ~ "' as readers; begin") -%}
        {%- set done = {'left': [], 'brought up to date': [], 'written anew': []} -%}
        {%- for table in tables -%}
            {%- set rows = changes.rows.get(table.name) if is_started else none -%}
            {%- do done[publish_table(table, rows)].append(table.name) -%}
        {%- endfor -%}
        {%- do run_query('commit; detach readers') -%}
        {#- It holds everything, and the rows of the views: nobody computes them twice. -#}
        {%- if name == 'deftunes.duckdb' -%}
            {%- do run_query(
                "detach published; attach '" ~ folder ~ '/' ~ name
                ~ "' as published (read_only)"
            ) -%}
        {%- endif -%}
        {%- for what, names in done.items() if names -%}
            {%- do log(name ~ ', ' ~ what ~ ': ' ~ names | join(', ')) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query('detach published') -%}
    {%- do log('Published ' ~ run_query(
        "select finish_publishing('" ~ publication_id ~ "')"
    ).columns[0][0], info=True) -%}
{%- endmacro %}
