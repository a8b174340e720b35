{% macro is_worn(name) -%}
    {#- DuckDB writes next where rows have gone, so a file that is brought up to date each
        day stays below this; one that has lost most of its rows does not. -#}
    {%- set path = run_query("select published_path('" ~ name ~ "')").columns[0][0] -%}
    {%- if not path -%}
        {{ return(true) }}
    {%- endif -%}
    {%- do run_query("attach '" ~ path ~ "' as previous (read_only)") -%}
    {%- set worn = run_query(
        "select 1 from pragma_database_size() where database_name = 'previous'"
        ~ ' and free_blocks > used_blocks'
    ).rows | length > 0 -%}
    {%- do run_query('detach previous') -%}
    {{ return(worn) }}
{%- endmacro %}
