{% macro is_new_batch(entity=none, column='_batch_id') -%}
    {%- set is_test = model.resource_type == 'test' -%}
    {%- if not execute
        or ((batches_to_read() is none) if is_test else not _is_increment()) -%}
        true
    {%- else -%}
        {%- if not is_test and model.unique_id not in _batch_readers() -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' calls is_new_batch, so batch_reconciliation has to run '
                ~ 'after it. Add ' ~ model.name ~ ' to the depends_on comments of '
                ~ 'batch_reconciliation.sql.'
            ) }}
        {%- endif -%}
        {{ in_list(column, new_batches(entity)) }}
    {%- endif -%}
{%- endmacro %}

{% macro has_new_batch(entity) -%}
    {#- Whether is_new_batch is true for any batch of an entity. -#}
    {{ return(is_new_batch(entity) | trim != 'false') }}
{%- endmacro %}

{% macro _is_increment() -%}
    {#- Whether the current model adds rows to an existing table. An ephemeral model is
        part of the models that read it, so they decide. -#}
    {%- if model.config.materialized != 'ephemeral' -%}
        {{ return(is_incremental()) }}
    {%- endif -%}
    {%- set parts, tables = [model.unique_id], [] -%}
    {#- The loop also sees what is appended to its list while it runs. -#}
    {%- for part in parts -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model' and part in node.depends_on.nodes -%}
            {%- do (parts if node.config.materialized == 'ephemeral' else tables).append(
                node.unique_id
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {#- If one of the tables is new, it needs all rows. -#}
    {%- set missing = [] -%}
    {%- for id in tables
        if not load_relation(api.Relation.create(
            database=graph.nodes[id].database, schema=graph.nodes[id].schema,
            identifier=graph.nodes[id].name
        )) -%}
        {%- do missing.append(id) -%}
    {%- endfor -%}
    {{ return(not missing and not should_full_refresh()) }}
{%- endmacro %}

{% macro batches_to_read() -%}
    {#- The new batches, or none if the current model or test reads all landed
        batches. -#}
    {%- if flags.FULL_REFRESH or no_batch_is_settled()
        or (
            model.config.materialized in ['incremental', 'ephemeral']
            and not _is_increment()
        ) -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(new_batches()) }}
{%- endmacro %}

{% macro _batch_readers() -%}
    {#- The unique ids of batch_reconciliation and of all models upstream of it. -#}
    {%- set cache = run_cache() -%}
    {%- if 'batch readers' not in cache -%}
        {%- set audit_table = 'model.' ~ project_name ~ '.batch_reconciliation' -%}
        {%- set readers = graph.nodes | select('equalto', audit_table) | list -%}
        {#- The loop also visits ids that are appended to the list while it runs. -#}
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
    {#- The names of the models that read batches and that are not selected in this
        command. A command settles the batches that it reads only if it selects all of
        them. -#}
    {%- set unselected = [] -%}
    {%- for id in _batch_readers() if id not in selected_resources
        and graph.nodes[id].config.materialized != 'ephemeral' -%}
        {%- do unselected.append(graph.nodes[id].name) -%}
    {%- endfor -%}
    {{ return(unselected) }}
{%- endmacro %}

{# Overrides dbt's: models that read batches are also refreshed in full if no batch is
   settled, so that no row stays that was read under other rules. #}
{% macro should_full_refresh() -%}
    {%- set wanted = config.get('full_refresh') -%}
    {%- if wanted is none -%}
        {%- set wanted = flags.FULL_REFRESH or (
            execute and model.unique_id in _batch_readers() and no_batch_is_settled()
        ) -%}
    {%- endif -%}
    {{ return(wanted) }}
{%- endmacro %}
