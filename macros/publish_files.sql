{% macro publish_files(folder, databases, publication_id) -%}
    {#- Writes the databases from the catalogue in the folder, then puts them and it in
        the place of what was published, all at once. -#}
    {%- for name, statements in databases -%}
        {%- do run_query(
            "attach '" ~ folder ~ '/' ~ name ~ "' as readers; begin; " ~ statements
            ~ '; commit; detach readers'
        ) -%}
    {%- endfor -%}
    {%- do run_query('detach published') -%}
    {%- do log('Published ' ~ run_query(
        "select finish_publishing('" ~ publication_id ~ "')"
    ).columns[0][0], info=True) -%}
{%- endmacro %}
