{% macro is_large() -%}
    {#- Whether the lake holds more purchases than a build looks at again each time. -#}
    {{ return(remembered(
        'select count(*) > ' ~ var('items_tested_whole') ~ ' from ' ~ target.database
        ~ '.marts.fact_order_items'
    )[0][0]) }}
{%- endmacro %}
