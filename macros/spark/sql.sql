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

{% macro write_parquet(folder, sql) -%}
    {#- Writes the rows of a query to Parquet files, in place of what is in the folder. -#}
    {%- do run_query(
        "insert overwrite directory '" ~ folder ~ "' using parquet " ~ sql
    ) -%}
{%- endmacro %}

{% macro metadata_files(tables) -%}
    {#- A query with the current metadata file of each table, given by schema and name. -#}
    {%- set queries = [] -%}
    {%- for schema, name in tables -%}
        {%- do queries.append(
            "(select '" ~ schema ~ "' as schema_name, '" ~ name ~ "' as table_name,"
            ~ ' file as metadata_file from lake.`' ~ schema ~ '`.`' ~ name
            ~ '`.metadata_log_entries order by timestamp desc, file desc limit 1)'
        ) -%}
    {%- endfor -%}
    select /*+ coalesce(1) */ * from ({{ queries | join(' union all ') }})
{%- endmacro %}
