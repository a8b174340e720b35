{% macro malformed_record_cases(payload, texts) -%}
    {#- The branches of a case that every landed record needs first. -#}
    when {{ payload }} is not null and left(ltrim({{ payload }}), 1) <> '{'
        then 'not_an_object'
    when {{ payload }} is not null then 'wrong_type'
    when {{ dbt.position('chr(0)', "concat_ws(' ', " ~ texts | join(', ') ~ ')') }} > 0
        then 'nul_character'
{%- endmacro %}

{% macro conflicts_with_duplicate(key, position='_position') -%}
    {#- True for a good record of a batch that differs from the first good one with the
        same key. -#}
    rejection_reason is null
    and _version_hash is distinct from first_value(_version_hash) over (
        partition by _batch_id, {{ key }}, rejection_reason order by {{ position }}
    )
{%- endmacro %}
