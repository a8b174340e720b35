{% macro batch_time(batch_id) -%}
    {{ return(adapter.dispatch('batch_time')(batch_id)) }}
{%- endmacro %}

{% macro default__batch_time(batch_id) -%}
    to_timestamp_ntz(split_part({{ batch_id }}, '_', 1), "yyyyMMdd'T'HHmmssSSSSSS'Z'")
{%- endmacro %}

{% macro duckdb__batch_time(batch_id) -%}
    strptime(split_part({{ batch_id }}, '_', 1), '%Y%m%dT%H%M%S%fZ')
{%- endmacro %}
