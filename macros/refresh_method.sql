{% macro refresh_method(state, query, moved, changes) -%}
    {%- if moved.doubt -%}
        {{ return({'method': 'recomputed', 'reason': moved.doubt}) }}
    {%- endif -%}
    {{ return({'method': 'feed', 'reason': 'TODO'}) }}
{%- endmacro %}
