{% macro forget_relation(relation) -%}
    {#- What was known of a relation no longer holds: it has been made anew. -#}
    {%- for known in ['view definitions', 'comments'] -%}
        {%- do memory().get(known, {}).pop(relation.render(), none) -%}
    {%- endfor -%}
{%- endmacro %}
