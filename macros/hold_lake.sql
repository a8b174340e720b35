{% macro hold_lake() -%}
    {%- do run_query('select hold_lock()') -%}
    {#- Whoever rewrote files may have been killed, or be no part of this project. -#}
    {%- do widen_statistics() -%}
{%- endmacro %}
