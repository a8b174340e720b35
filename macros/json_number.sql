{% macro json_number(text, field) -%}
    {{ return(adapter.dispatch('json_number')(text, field)) }}
{%- endmacro %}

{# get_json_object would not tell the text "1" from the number 1. #}
{% macro default__json_number(text, field) -%}
    {%- set value = "try_variant_get(try_parse_json(" ~ text ~ "), '$." ~ field ~ "', " -%}
    case
        when schema_of_variant({{ value }}'variant')) rlike '^(BIGINT|DOUBLE|DECIMAL)'
            then {{ value }}'double')
        when schema_of_variant({{ value }}'variant')) <> 'VOID' then double('NaN')
    end
{%- endmacro %}

{% macro duckdb__json_number(text, field) -%}
    case
        when not json_valid({{ text }})
            then null
        when json_type({{ text }}, '$.{{ field }}') in ('DOUBLE', 'BIGINT', 'UBIGINT')
            then cast(json_extract_string({{ text }}, '$.{{ field }}') as double)
        when json_type({{ text }}, '$.{{ field }}') <> 'NULL'
            then cast('NaN' as double)
    end
{%- endmacro %}
