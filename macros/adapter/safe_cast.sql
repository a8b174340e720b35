{# dbt-duckdb 1.11 does not implement safe_cast: dbt's default is a cast that fails. #}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}
