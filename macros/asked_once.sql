{% macro asked_once(view) -%}
    {{ return(adapter.dispatch('asked_once')(view)) }}
{%- endmacro %}

{% macro default__asked_once(view) -%}
    {{ return(view) }}
{%- endmacro %}

{# The views that it rests on have all been built. #}
{% macro duckdb__asked_once(view) -%}
    {%- set file = run_query(
        "select spool_file('" ~ view.identifier ~ "')"
    ).columns[0][0] -%}
    {%- if not run_query("from glob('" ~ file ~ "')").rows -%}
        {%- do run_query('copy (from ' ~ view ~ ") to '" ~ file ~ "' (format parquet)") -%}
    {%- endif -%}
    {{ return("read_parquet('" ~ file ~ "')") }}
{%- endmacro %}
