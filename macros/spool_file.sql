{% macro spool_file(name) -%}
    {#- The path of a file that lasts as long as the run. -#}
    {{ return(remembered('select spool()')[0][0] ~ '/' ~ name ~ '.parquet') }}
{%- endmacro %}
