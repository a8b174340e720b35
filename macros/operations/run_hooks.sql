{% macro check_before_run() -%}
    {%- if execute and flags.WHICH in ['build', 'run', 'seed', 'snapshot', 'test'] -%}
        {%- if target.threads > 1 -%}
            {{ exceptions.raise_compiler_error(
                'Run dbt with one thread: with two threads, DuckLake loses commits. '
                ~ 'Leave out --threads; DuckDB uses all cores anyway.'
            ) }}
        {%- endif -%}
        {%- if flags.EMPTY -%}
            {{ exceptions.raise_compiler_error(
                '--empty would leave empty views in the lake. To check that the models '
                ~ 'compile, use dbt compile.'
            ) }}
        {%- endif -%}
        {%- do lock_lake() -%}
        {%- if target.name == 'spark_serving' -%}
            {%- for id in selected_resources if id in nodes_left_out()
                and id.split('.')[0] in ['model', 'snapshot'] -%}
                {{ exceptions.raise_compiler_error(
                    'Target spark_serving does not build ' ~ id.split('.')[2]
                    ~ ': Spark does. Leave out what selects it, or use target spark.'
                ) }}
            {%- endfor -%}
            {{ return(import_tables()) }}
        {%- endif -%}
        {%- for source in graph.sources.values()
            if run_query(landed_batches(source.name)).rows | length == 0 -%}
            {{ exceptions.raise_compiler_error(
                'Nothing of ' ~ source.name ~ ' has been landed in '
                ~ landed_files(source.name)
                ~ '. Land it first: python scripts/land.py --start ... --end ...'
            ) }}
        {%- endfor -%}
        {%- if flags.WHICH in ['build', 'run'] -%}
            {%- do reopen_batches() -%}
            {%- if batch_audit_table() is not none and no_batch_is_settled() -%}
                {%- do log(
                    'No landed batch is settled under the current rules: models that '
                    ~ 'read batches are rebuilt in full.', info=True
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro lock_lake() -%}
    {#- Takes the lock that keeps other commands from writing to the lake, and sets how
        the lake writes. -#}
    {{ return(adapter.dispatch('lock_lake')()) }}
{%- endmacro %}

{% macro duckdb__lock_lake() -%}
    {%- do run_query('select hold_lock()') -%}
    {#- A command that rewrote files may have been killed, or may not belong to this
        project, and may not have restored the statistics. -#}
    {%- do restore_column_statistics() -%}
    {%- do set_parquet_compression() -%}
{%- endmacro %}

{% macro clear_spool() -%}
    {{ return(adapter.dispatch('clear_spool')()) }}
{%- endmacro %}

{% macro duckdb__clear_spool() -%}
    select clear_spool()
{%- endmacro %}

{% macro log_after_run(results) -%}
    {#- What a person wants to know at the end of a build or run. -#}
    {%- if execute and flags.WHICH in ['build', 'run'] -%}
        {%- set batches = new_batches() if target.name != 'spark_serving' -%}
        {%- if batches -%}
            {%- do run_cache().pop('audit table') -%}
            {%- do run_cache().pop('new batches') -%}
            {%- set unsettled = new_batches() -%}
            {%- set settled = batches | reject('in', unsettled) | list -%}
            {%- do _log_loaded_records(settled) if settled -%}
            {%- do _log_batches_that_stay_new(unsettled) if unsettled -%}
        {%- elif target.name != 'spark_serving' -%}
            {%- do log('No new records.', info=True) -%}
        {%- endif -%}
        {%- do log_tests_of_new_rows() -%}
        {%- do _log_withheld_models(results) -%}
    {%- endif -%}
{%- endmacro %}

{% macro _log_loaded_records(batches) -%}
    {#- How many records of the batches are loaded and rejected, by entity. -#}
    {%- set entities = run_query(
        'select entity, sum(loaded_count), sum(rejected_count) from '
        ~ batch_audit_table() ~ ' where ' ~ in_list('_batch_id', batches)
        ~ ' group by entity order by entity'
    ).rows -%}
    {%- for entity, loaded, rejected in entities -%}
        {%- if loop.first -%}
            {%- do log(
                'Records read'.ljust(16) ~ 'loaded'.rjust(13) ~ 'rejected'.rjust(13),
                info=True
            ) -%}
        {%- endif -%}
        {%- do log(
            entity.ljust(16) ~ '{:13,}{:13,}'.format(loaded | int, rejected | int)
            ~ ('  why: quality.rejected_records' if rejected else ''), info=True
        ) -%}
    {%- endfor -%}
{%- endmacro %}

{% macro _log_batches_that_stay_new(batches) -%}
    {#- How many batches the next build reads again, and why. -#}
    {%- set unselected = unselected_readers() | sort -%}
    {%- do log(
        'Landed batches that stay new: ' ~ batches | length ~ ', as '
        ~ ('this command left out ' ~ unselected | length
            ~ ' models that read them, such as ' ~ unselected[0]
            if unselected else 'not every model that reads them was built')
        ~ '. The next `dbt build` reads them in every model.', info=True
    ) -%}
{%- endmacro %}

{% macro _log_withheld_models(results) -%}
    {#- Logs something only if the command ran ml_model_evaluations. -#}
    {%- for result in results if result.node.name == 'ml_model_evaluations'
        and result.node.resource_type == 'model' and result.status == 'success' -%}
        {%- for row in run_query(
            'select distinct model_name, withheld_reason from '
            ~ result.node.relation_name
            ~ ' where is_current and withheld_reason is not null order by all'
        ).rows -%}
            {%- do log(
                'Withheld: ' ~ row[0] ~ ' is not offered: ' ~ row[1] ~ '.', info=True
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
{%- endmacro %}
