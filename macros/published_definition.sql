{% macro published_definition(databases) -%}
    {{ return(local_md5(databases ~ data_path())) }}
{%- endmacro %}
