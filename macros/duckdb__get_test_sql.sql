{# A view that several tests read is written to a file first, and asked once. #}
{% macro duckdb__get_test_sql(main_sql, fail_calc, warn_if, error_if, limit) -%}
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
{%- endmacro %}
