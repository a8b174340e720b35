{% macro attach_published(folder) -%}
    {#- The catalogue may come from before the lakehouse was moved. -#}
    {%- set catalogue = folder ~ '/deftunes.ducklake' -%}
    {%- do run_query(
        "attach '" ~ catalogue ~ "' as frozen; update frozen.ducklake_metadata"
        ~ " set value = '" ~ data_path() ~ "' where key = 'data_path'; detach frozen;"
        ~ " attach 'ducklake:" ~ catalogue ~ "' as published (read_only)"
    ) -%}
{%- endmacro %}
