{% macro malformed_record_cases(payload, texts) -%}
    {#- The first branches of the `case` that gives each landed record its rejection
        reason. -#}
    when {{ payload }} is not null and left(ltrim({{ payload }}), 1) <> '{'
        then 'not_an_object'
    when {{ payload }} is not null then 'wrong_type'
    when {{ dbt.position('chr(0)', "concat_ws(' ', " ~ texts | join(', ') ~ ')') }} > 0
        then 'nul_character'
{%- endmacro %}

{% macro conflicts_with_duplicate(key, position='_position') -%}
    {#- A conflicting duplicate: a good record that differs from the first good record
        with the same key in its batch. -#}
    rejection_reason is null
    and _version_hash is distinct from first_value(_version_hash) over (
        partition by _batch_id, {{ key }}, rejection_reason order by {{ position }}
    )
{%- endmacro %}
