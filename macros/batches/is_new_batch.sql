{% macro is_new_batch(entity=none) -%}
    {%- if not (execute and _adds_to_a_table()) -%}
        true
    {%- else -%}
        {%- if model.unique_id not in _batch_readers() -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' asks for new batches, so batch_reconciliation has to come '
                ~ 'after it: add it to the depends_on there.'
            ) }}
        {%- endif -%}
        {{ in_list('_batch_id', new_batches(entity)) }}
    {%- endif -%}
{%- endmacro %}

{% macro _adds_to_a_table() -%}
    {#- Whether the model at hand adds to rows that are there. An ephemeral model is a part
        of the one that reads it: it reads as much as that one does. -#}
    {%- if model.config.materialized != 'ephemeral' -%}
        {{ return(is_incremental()) }}
    {%- endif -%}
    {%- set parts, tables = [model.unique_id], [] -%}
    {%- for part in parts -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model' and part in node.depends_on.nodes -%}
            {%- do (parts if node.config.materialized == 'ephemeral' else tables).append(
                node.unique_id
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- set table = graph.nodes[tables | first] -%}
    {%- set held = load_relation(api.Relation.create(
        database=table.database, schema=table.schema, identifier=table.name
    )) -%}
    {{ return(held is not none and not should_full_refresh()) }}
{%- endmacro %}

{% macro is_read(column='_batch_id') -%}
    {#- A condition, for tests: the batch is one of those that this build reads. -#}
    {%- set batches = batches_read() if execute -%}
    {%- if batches is none -%}
        true
    {%- else -%}
        {{ in_list(column, batches) }}
    {%- endif -%}
{%- endmacro %}

{% macro batches_read() -%}
    {#- The batches that this build reads: those that the lake does not hold for good
        yet. None where it reads all that has been landed. -#}
    {%- if flags.FULL_REFRESH or no_batch_is_settled()
        or (
            model.config.materialized in ['incremental', 'ephemeral']
            and not _adds_to_a_table()
        ) -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(new_batches()) }}
{%- endmacro %}

{% macro _batch_readers() -%}
    {#- The ids of batch_reconciliation and of all models upstream of it. -#}
    {%- set cache = run_cache() -%}
    {%- if 'batch readers' not in cache -%}
        {%- set ledger = 'model.' ~ project_name ~ '.batch_reconciliation' -%}
        {%- set readers = graph.nodes | select('equalto', ledger) | list -%}
        {#- Jinja's loop sees what is appended to its list while it runs. -#}
        {%- for id in readers -%}
            {%- for upstream in graph.nodes[id].depends_on.nodes
                if upstream.startswith('model.') and upstream not in readers -%}
                {%- do readers.append(upstream) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- do cache.update({'batch readers': readers}) -%}
    {%- endif -%}
    {{ return(cache['batch readers']) }}
{%- endmacro %}

{% macro unselected_readers() -%}
    {#- The names of the models that read batches and that this command leaves out. Only a
        command that leaves out none settles the batches that it reads. -#}
    {%- set unselected = [] -%}
    {%- for id in _batch_readers() if id not in selected_resources
        and graph.nodes[id].config.materialized != 'ephemeral' -%}
        {%- do unselected.append(graph.nodes[id].name) -%}
    {%- endfor -%}
    {{ return(unselected) }}
{%- endmacro %}

{# dbt's own, and for the models that read batches also where none is settled: what they
   have read by other rules does not stay. #}
{% macro should_full_refresh() -%}
    {%- set wanted = config.get('full_refresh') -%}
    {%- if wanted is none -%}
        {%- set wanted = flags.FULL_REFRESH or (
            execute and model.unique_id in _batch_readers() and no_batch_is_settled()
        ) -%}
    {%- endif -%}
    {{ return(wanted) }}
{%- endmacro %}
