{# A test that has passed today, in these very words, on what is landed and in the lake
   now, passes: a build with nothing new asks no test twice. `dbt test` asks them all. #}
{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
    {%- if flags.WHICH == 'build' and has_passed(model) -%}
        select
            0 as failures,
            false as should_warn,
            false as should_error
    {%- else -%}
        {%- for id in model.depends_on.nodes
            if 'asked_once' in graph.nodes.get(id, {}).get('tags', []) -%}
            {%- set view = graph.nodes[id] -%}
            {%- set file = spool_file(view.name) -%}
            {%- set asked = memory().setdefault('asked once', []) -%}
            {%- if file in main_sql and file not in asked -%}
                {%- do run_query(
                    'copy (from ' ~ view.relation_name ~ ") to '" ~ file
                    ~ "' (format parquet)"
                ) -%}
                {%- do asked.append(file) -%}
            {%- endif -%}
        {%- endfor -%}
        {{ default__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) }}
    {%- endif -%}
{%- endmacro %}
