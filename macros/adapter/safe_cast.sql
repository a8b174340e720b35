{# dbt-duckdb 1.11 leaves safe_cast at a cast that fails. #}
{% macro duckdb__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}
