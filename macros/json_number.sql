{% macro json_number(text, field) -%}
    {{ return(adapter.dispatch('json_number')(text, field)) }}
{%- endmacro %}

{% macro default__json_number(text, field) -%}
    coalesce(
        try_cast(get_json_object({{ text }}, '$.{{ field }}') as double),
        case
            when get_json_object({{ text }}, '$.{{ field }}') is not null
                then double('NaN')
        end
    )
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
