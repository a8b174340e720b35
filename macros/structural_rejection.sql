{% macro structural_rejection(payload, texts) -%}
    {#- The branches of a case that every landed record needs first. -#}
    when {{ payload }} is not null and left(ltrim({{ payload }}), 1) <> '{'
        then 'not_an_object'
    when {{ payload }} is not null then 'wrong_type'
    when {{ dbt.position('chr(0)', "concat_ws(' ', " ~ texts | join(', ') ~ ')') }} > 0
        then 'nul_character'
{%- endmacro %}
