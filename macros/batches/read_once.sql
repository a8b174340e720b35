{% macro read_once(view) -%}
    {{ return(adapter.dispatch('read_once')(view)) }}
{%- endmacro %}

{% macro default__read_once(view) -%}
    {{ return(view) }}
{%- endmacro %}

{# A view that is tagged `spooled` is written to files, which last as long as the build;
   any other one is written out. Payloads are kept of rejected records only, which have a
   file of their own, as making them takes longer than all the rest: who wants to see
   another one asks the view. #}
{% macro duckdb__read_once(view) -%}
    {%- if not execute or view.is_cte or flags.WHICH not in ['build', 'run', 'test'] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set batches = batches_read() -%}
    {%- if batches == [] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set node = graph.nodes['model.' ~ project_name ~ '.' ~ view.identifier] -%}
    {%- if 'spooled' not in node.tags -%}
        {{ return('(' ~ _written_out(view, node) ~ ')') }}
    {%- endif -%}
    {%- set file = temporary_file(view.identifier ~ '_' ~ local_md5(batches | string)) -%}
    {%- set written = run_cache().setdefault('written once', {}) -%}
    {%- if file not in written -%}
        {%- do run_query(
            'copy (select * replace (cast(null as varchar) as _payload) from ('
            ~ _written_out(view, node) ~ ')'
            ~ (" where _batch_id in ('" ~ batches | join("', '") ~ "')" if batches else '')
            ~ ") to '" ~ file ~ "' (format parquet, dictionary_size_limit 1000)"
        ) -%}
        {%- set bad = run_query(
            "select distinct _batch_id from '" ~ file
            ~ "' where rejection_reason is not null"
        ).columns[0].values() -%}
        {%- set rejected = file.replace('.parquet', '_rejected.parquet') -%}
        {%- if bad -%}
            {%- do run_query(
                'copy (select * from (' ~ _written_out(view, node)
                ~ ") where rejection_reason is not null and _batch_id in ('"
                ~ bad | join("', '") ~ "')) to '" ~ rejected ~ "' (format parquet)"
            ) -%}
        {%- endif -%}
        {%- do written.update({file:
            "(select * from read_parquet('" ~ file ~ "') where rejection_reason is null"
            ~ " union all by name select * from read_parquet('" ~ rejected ~ "'))"
            if bad else "read_parquet('" ~ file ~ "')"
        }) -%}
    {%- endif -%}
    {{ return(written[file]) }}
{%- endmacro %}

{% macro _written_out(view, node) -%}
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
