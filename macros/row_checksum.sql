{% macro row_checksum(columns) -%}
    {#- A whole number; sums of it tell whether the rows are the same. -#}
    {{ return(adapter.dispatch('row_checksum')(columns)) }}
{%- endmacro %}

{% macro default__row_checksum(columns) -%}
    cast(xxhash64({{ columns | join(', ') }}) as decimal(20, 0))
{%- endmacro %}

{# Parquet has no integers of 16 bytes, which sums of integers of 8 would be. #}
{% macro duckdb__row_checksum(columns) -%}
    cast(hash({{ columns | join(', ') }}) as decimal(20, 0))
{%- endmacro %}
