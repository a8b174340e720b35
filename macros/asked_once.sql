{# All tests of a view read it from a file, which get_test_sql writes before the first
   of them that has to be asked. #}
{% macro asked_once(view) -%}
    {{ return(adapter.dispatch('asked_once')(view)) }}
{%- endmacro %}

{% macro default__asked_once(view) -%}
    {{ return(view) }}
{%- endmacro %}

{% macro duckdb__asked_once(view) -%}
    {%- if should_store_failures() -%}
        {{ return(view) }}
    {%- endif -%}
    {{ return("read_parquet('" ~ spool_file(view.identifier) ~ "')") }}
{%- endmacro %}
