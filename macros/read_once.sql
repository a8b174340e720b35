{% macro read_once(view) -%}
    {{ return(adapter.dispatch('read_once')(view)) }}
{%- endmacro %}

{% macro default__read_once(view) -%}
    {{ return(view) }}
{%- endmacro %}

{# A view that is tagged `spooled` is written to a file, which lasts as long as the
   build; any other one is written out. Payloads are kept of rejected records only: who
   wants to see another one asks the view. #}
{% macro duckdb__read_once(view) -%}
    {%- if not execute or view.is_cte or flags.WHICH not in ['build', 'run', 'test'] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set batches = batches_read() -%}
    {%- if batches == [] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set node = graph.nodes['model.deftunes.' ~ view.identifier] -%}
    {%- set file = run_query(
        "select spool_file('" ~ view.identifier ~ '_' ~ local_md5(batches | string) ~ "')"
    ).columns[0][0] -%}
    {%- if 'spooled' in node.tags and run_query("from glob('" ~ file ~ "')").rows -%}
        {{ return("read_parquet('" ~ file ~ "')") }}
    {%- endif -%}
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
    {%- if 'spooled' not in node.tags -%}
        {{ return('(' ~ query.sql ~ ')') }}
    {%- endif -%}
    {%- do run_query(
        'copy (select * replace (case when rejection_reason is not null then _payload'
        ~ ' end as _payload) from (' ~ query.sql ~ ')'
        ~ (" where _batch_id in ('" ~ batches | join("', '") ~ "')" if batches else '')
        ~ ") to '" ~ file ~ "' (format parquet)"
    ) -%}
    {{ return("read_parquet('" ~ file ~ "')") }}
{%- endmacro %}
