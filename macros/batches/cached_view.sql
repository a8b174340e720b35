{% macro cached_view(view, reads_all=false) -%}
    {%- if not execute or view.is_cte or flags.WHICH not in ['build', 'run', 'test'] -%}
        {{ return(view) }}
    {%- endif -%}
    {%- set node = graph.nodes['model.' ~ project_name ~ '.' ~ view.identifier] -%}
    {{ return(adapter.dispatch('cached_view')(
        view, node, batches_to_read(), reads_all
    )) }}
{%- endmacro %}

{% macro default__cached_view(view, node, batches, reads_all) -%}
    {{ return(view) }}
{%- endmacro %}

{# A view with the tag `cached` is written to temporary files, which are deleted at the
   end of the run. Any other view becomes a subquery over the cached views that it
   reads. Only rejected records keep their payload, in a second file, because building
   payloads takes longer than everything else. Other payloads have to be read from the
   view. The rows of all batches would need too much space. #}
{% macro duckdb__cached_view(view, node, batches, reads_all) -%}
    {%- if reads_all -%}
        {{ return(view) }}
    {%- endif -%}
    {%- if 'cached' not in node.tags -%}
        {{ return('(' ~ _sql_over_cached_views(view, node) ~ ')') }}
    {%- endif -%}
    {%- set file = temporary_file(view.identifier ~ '_' ~ local_md5(batches | string)) -%}
    {%- set subqueries = run_cache().setdefault('cached views', {}) -%}
    {%- if file not in subqueries -%}
        {%- do run_query(
            'copy (select * replace (cast(null as varchar) as _payload) from ('
            ~ _sql_over_cached_views(view, node) ~ ')'
            ~ ('' if batches is none else ' where ' ~ in_list('_batch_id', batches))
            ~ ") to '" ~ file ~ "' (format parquet, dictionary_size_limit 1000)"
        ) -%}
        {%- set batches_with_rejected = run_query(
            "select distinct _batch_id from '" ~ file
            ~ "' where rejection_reason is not null"
        ).columns[0].values() -%}
        {%- set rejected_file = file.replace('.parquet', '_rejected.parquet') -%}
        {%- if batches_with_rejected -%}
            {%- do run_query(
                'copy (select * from (' ~ _sql_over_cached_views(view, node)
                ~ ") where rejection_reason is not null and _batch_id in ('"
                ~ batches_with_rejected | join("', '") ~ "')) to '" ~ rejected_file
                ~ "' (format parquet)"
            ) -%}
        {%- endif -%}
        {%- do subqueries.update({file:
            "(select * from read_parquet('" ~ file ~ "') where rejection_reason is null"
            ~ " union all by name select * from read_parquet('" ~ rejected_file ~ "'))"
            if batches_with_rejected else "read_parquet('" ~ file ~ "')"
        }) -%}
    {%- endif -%}
    {{ return(subqueries[file]) }}
{%- endmacro %}

{% macro _sql_over_cached_views(view, node) -%}
    {#- The SQL of a view, with each upstream view replaced by its cached rows. -#}
    {%- set query = namespace(
        sql=view_definition(view).removeprefix(' AS ').rstrip(';')
    ) -%}
    {%- for id in node.depends_on.nodes
        if graph.nodes.get(id, {}).get('config', {}).materialized == 'view' -%}
        {%- set upstream = api.Relation.create(
            database=graph.nodes[id].database, schema=graph.nodes[id].schema,
            identifier=graph.nodes[id].name
        ) -%}
        {%- set query.sql = query.sql | replace(
            upstream.render() | replace('"', ''), cached_view(upstream)
        ) -%}
    {%- endfor -%}
    {{ return(query.sql) }}
{%- endmacro %}
