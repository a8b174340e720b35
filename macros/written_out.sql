{% macro written_out(view, node) -%}
    {#- The query of a view that reads once what it reads. -#}
    {%- set query = namespace(
        sql=view_definition(view).removeprefix(' AS ').rstrip(';')
    ) -%}
    {%- for id in node.depends_on.nodes
        if graph.nodes.get(id, {}).get('config', {}).materialized == 'view' -%}
        {%- set source = api.Relation.create(
            database=graph.nodes[id].database, schema=graph.nodes[id].schema,
            identifier=graph.nodes[id].name
        ) -%}
        {%- set query.sql = query.sql | replace(
            source.render() | replace('"', ''), read_once(source)
        ) -%}
    {%- endfor -%}
    {{ return(query.sql) }}
{%- endmacro %}
