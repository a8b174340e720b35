{% macro check_before_run() -%}
    {%- if execute and flags.WHICH in ['build', 'run', 'seed', 'snapshot', 'test'] -%}
        {%- if target.threads > 1 -%}
            {{ exceptions.raise_compiler_error(
                'Run dbt with one thread: two on one DuckLake lose commits. Leave out '
                ~ '--threads; DuckDB uses all cores all the same.'
            ) }}
        {%- endif -%}
        {%- if flags.EMPTY -%}
            {{ exceptions.raise_compiler_error(
                '--empty would leave the views of this lake empty. To check that the '
                ~ 'models compile, use dbt compile.'
            ) }}
        {%- endif -%}
        {%- do hold_lake() -%}
        {%- do compress_lake() -%}
        {%- for source in graph.sources.values()
            if run_query(landed_batches(source.name)).rows | length == 0 -%}
            {{ exceptions.raise_compiler_error(
                'Nothing of ' ~ source.name ~ ' has been landed in '
                ~ landed(source.name)
                ~ '. Land it first: python scripts/land.py --start ... --end ...'
            ) }}
        {%- endfor -%}
        {%- if flags.WHICH in ['build', 'run'] -%}
            {%- do reopen_batches() -%}
            {%- if batch_ledger() is not none and no_batch_is_settled() -%}
                {%- do log(
                    'No landed batch is settled by the rules that hold now: models that '
                    ~ 'read them are built from nothing.', info=True
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
