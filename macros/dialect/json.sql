{% macro json_number(text, field) -%}
    {{ return(adapter.dispatch('json_number')(text, field)) }}
{%- endmacro %}

{# get_json_object does not distinguish the text "1" from the number 1. #}
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

{% macro json_object_text(columns, floats=[]) -%}
    {#- `floats` names the columns of type float: their digits are those of doubles. -#}
    {{ return(adapter.dispatch('json_object_text')(columns, floats)) }}
{%- endmacro %}

{# Spark leaves out null fields unless the option says otherwise. DuckDB writes NaN
   without quotes. #}
{% macro default__json_object_text(columns, floats) -%}
    {{ 'regexp_replace(' if floats }}to_json(named_struct(
        {%- for column in columns %}'{{ column }}',
        {{- ' cast(' ~ column ~ ' as double)' if column in floats else ' ' ~ column }}
        {%- if not loop.last %}, {% endif %}{% endfor -%}
    ), map('ignoreNullFields', 'false'))
    {%- if floats -%}
        , '"({{ floats | join('|') }})":"(NaN|-?Infinity)"', '"$1":$2')
    {%- endif -%}
{%- endmacro %}

{% macro duckdb__json_object_text(columns, floats) -%}
    cast(json_object(
        {%- for column in columns %}'{{ column }}', {{ column }}
        {%- if not loop.last %}, {% endif %}{% endfor -%}
    ) as varchar)
{%- endmacro %}

{% macro to_json_string(value) -%}
    {{ return(adapter.dispatch('to_json_string')(value)) }}
{%- endmacro %}

{% macro default__to_json_string(value) -%}
    to_json({{ value }}, map('ignoreNullFields', 'false'))
{%- endmacro %}

{% macro duckdb__to_json_string(value) -%}
    cast(to_json({{ value }}) as varchar)
{%- endmacro %}
