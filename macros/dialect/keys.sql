{% macro surrogate_key(columns) -%}
    {{ return(adapter.dispatch('surrogate_key')(columns)) }}
{%- endmacro %}

{% macro default__surrogate_key(columns) -%}
    md5({{ _natural_key(columns) }})
{%- endmacro %}

{# 16 bytes instead of 32 characters: smaller files and faster joins. #}
{% macro duckdb__surrogate_key(columns) -%}
    cast(md5({{ _natural_key(columns) }}) as uuid)
{%- endmacro %}

{% macro row_hash(columns) -%}
    {#- A whole number. Comparing its sums compares two sets of rows. -#}
    {{ return(adapter.dispatch('row_hash')(columns)) }}
{%- endmacro %}

{% macro default__row_hash(columns) -%}
    cast(xxhash64({{ columns | join(', ') }}) as decimal(20, 0))
{%- endmacro %}

{# A decimal: the sum of 8-byte integers is a 16-byte integer, which Parquet lacks. #}
{% macro duckdb__row_hash(columns) -%}
    cast(hash({{ columns | join(', ') }}) as decimal(20, 0))
{%- endmacro %}

{% macro unknown_member_key() -%}
    {{ return(adapter.dispatch('unknown_member_key')()) }}
{%- endmacro %}

{% macro default__unknown_member_key() -%}
    '00000000000000000000000000000000'
{%- endmacro %}

{% macro duckdb__unknown_member_key() -%}
    cast('00000000-0000-0000-0000-000000000000' as uuid)
{%- endmacro %}

{% macro _natural_key(columns) -%}
    {#- The natural key as text. With several columns, the length stands before each
        value, so that different keys never give the same text. -#}
    {%- set texts = [] -%}
    {%- for column in columns -%}
        {%- do texts.append("cast(" ~ column ~ " as " ~ dbt.type_string() ~ ")") -%}
    {%- endfor -%}
    {%- if texts | length == 1 -%}
        {{ texts[0] }}
    {%- else -%}
        {%- for text in texts -%}
            coalesce({{ dbt.length(text) }} || ':' || {{ text }}, ':')
            {%- if not loop.last %} || {% endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
