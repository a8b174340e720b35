{% macro publish_files(folder, databases, publication_id, changes={}) -%}
    {#- Writes the databases from the catalogue in the folder, then puts them and it in
        the place of what was published, all at once. -#}
    {%- for name, tables in databases -%}
        {%- if changes -%}
            {%- do run_query("select copy_published('" ~ name ~ "')") -%}
        {%- endif -%}
        {%- do run_query("attach '" ~ folder ~ '/' ~ name ~ "' as readers; begin") -%}
        {%- set done = {'left': [], 'brought up to date': [], 'written anew': []} -%}
        {%- for table in tables -%}
            {%- do done[publish_table(table, changes.get(table.name))].append(
                table.name.split('.', 1)[1]
            ) -%}
        {%- endfor -%}
        {%- do run_query('commit; detach readers') -%}
        {%- for what, names in done.items() if names -%}
            {%- do log(name ~ ', ' ~ what ~ ': ' ~ names | join(', ')) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query('detach published') -%}
    {%- do log('Published ' ~ run_query(
        "select finish_publishing('" ~ publication_id ~ "')"
    ).columns[0][0], info=True) -%}
{%- endmacro %}
