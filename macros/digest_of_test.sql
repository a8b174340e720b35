{% macro digest_of_test(test) -%}
    {#- A digest of what a test asks, and of when it fails. -#}
    {%- set words = [test.compiled_code] -%}
    {%- for key in ['fail_calc', 'warn_if', 'error_if', 'limit', 'severity'] -%}
        {%- do words.append((test.config[key] or '') | string) -%}
    {%- endfor -%}
    {{ return(local_md5(words | join('\n'))) }}
{%- endmacro %}
