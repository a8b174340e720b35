{% macro has_passed(test) -%}
    {#- Whether a test has passed today, in these very words, on what is landed and in the
        lake now. persist_docs ends each model, seed and snapshot, and forgets what was
        known of the lake before it. -#}
    {%- set memory = memory() -%}
    {%- if 'passed tests' not in memory -%}
        {%- do memory.update({'passed tests': run_query(
            "select 'passed ' || array_to_string(passed_tests(" ~ lake_version() ~ "), ' ')"
        ).columns[0][0].split()}) -%}
    {%- endif -%}
    {{ return(digest_of_test(test) in memory['passed tests']) }}
{%- endmacro %}
