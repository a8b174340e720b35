{% macro publish_tables() -%}
    {#- Writes the published database beside the one that readers have open, then puts
        it in its place. Returns its path. -#}
    {%- set path = run_query('select start_publishing()').columns[0][0] -%}
    {%- do run_query("attach '" ~ path ~ "' as published") -%}
    {%- for model in graph.nodes.values()
        if model.resource_type == 'model'
        and model.schema in var('published_schemas') -%}
        {%- set schema = 'published.' ~ model.schema -%}
        {%- set table = schema ~ '.' ~ model.name -%}
        {%- do run_query('create schema if not exists ' ~ schema) -%}
        {%- do run_query(
            'create table ' ~ table ~ ' as from ' ~ model.relation_name
        ) -%}
        {%- do run_query(
            'comment on table ' ~ table ~ ' is '
            ~ duckdb_escape_comment(model.description)
        ) -%}
        {%- for column in model.columns.values() -%}
            {%- do run_query(
                'comment on column ' ~ table ~ '.' ~ column.name ~ ' is '
                ~ duckdb_escape_comment(column.description)
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query('detach published') -%}
    {{ return(run_query('select finish_publishing()').columns[0][0]) }}
{%- endmacro %}
