{% macro rewrite_files(schema=none, table=none) -%}
    {%- set one = ", '" ~ table ~ "', schema => '" ~ schema ~ "'" if table else '' -%}
    {%- set done = run_query(
        "from ducklake_rewrite_data_files('" ~ target.database ~ "'" ~ one
        ~ ', delete_threshold => 0)'
    ) -%}
    {%- do widen_statistics() -%}
    {{ return(done) }}
{%- endmacro %}
