{% macro compress_lake() -%}
    {#- Has new files of the lake written with zstd: a third smaller than with DuckLake's
        own choice. More effort takes a fifth longer and makes them hardly smaller. The
        lake remembers it. -#}
    {%- set lake = "'" ~ target.database ~ "'" -%}
    {%- set held = run_query(
        'select option_name from ducklake_options(' ~ lake ~ ')'
    ).columns[0].values() -%}
    {%- for option, value in [
        ('parquet_compression', 'zstd'),
        ('parquet_compression_level', '2'),
    ] if option not in held -%}
        {%- do run_query(
            'call ducklake_set_option(' ~ lake ~ ", '" ~ option ~ "', '" ~ value ~ "')"
        ) -%}
    {%- endfor -%}
{%- endmacro %}
