{# dbt's functions on Spark, where dbt-spark's differ from DuckDB's results. #}
{% macro spark__current_timestamp() -%}
    cast(current_timestamp() as timestamp_ntz)
{%- endmacro %}

{# Overrides dbt-spark's, which is a cast that fails. #}
{% macro spark__safe_cast(field, type) -%}
    try_cast({{ field }} as {{ type }})
{%- endmacro %}

{# Overrides dbt-spark's, which loses microseconds. #}
{% macro spark__dateadd(datepart, interval, from_date_or_timestamp) -%}
    {{ from_date_or_timestamp }} + interval '{{ interval }}' {{ datepart }}
{%- endmacro %}

{# Counts the boundaries between the dates, as DuckDB does. #}
{% macro spark__datediff(first_date, second_date, datepart) -%}
    {%- if datepart == 'day' -%}
        datediff(cast({{ second_date }} as date), cast({{ first_date }} as date))
    {%- elif datepart == 'month' -%}
        (
            (year({{ second_date }}) - year({{ first_date }})) * 12
            + month({{ second_date }}) - month({{ first_date }})
        )
    {%- elif datepart in ['hour', 'minute', 'second'] -%}
        timestampdiff(
            {{ datepart }}, date_trunc('{{ datepart }}', {{ first_date }}),
            date_trunc('{{ datepart }}', {{ second_date }})
        )
    {%- else -%}
        {{ exceptions.raise_compiler_error(
            'datediff by ' ~ datepart ~ ' is not written for Spark yet. Add it in '
            ~ 'macros/spark/sql.sql.'
        ) }}
    {%- endif -%}
{%- endmacro %}

{# Overrides dbt-spark's, which splits by a regular expression. #}
{% macro spark__split_part(string_text, delimiter_text, part_number) -%}
    split_part({{ string_text }}, {{ delimiter_text }}, {{ part_number }})
{%- endmacro %}

{# For the stand-in of dbt_expectations. #}
{% macro spark__regex_matches(expression, regex, is_raw, flags) -%}
    {{ expression }} rlike '{{ regex | replace("\\", "\\\\") }}'
{%- endmacro %}
