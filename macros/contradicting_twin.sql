{% macro contradicting_twin(key, position='_position') -%}
    {#- True for a good record of a batch that differs from the first good one with the
        same key. -#}
    rejection_reason is null
    and _version_hash is distinct from first_value(_version_hash) over (
        partition by _batch_id, {{ key }}, rejection_reason order by {{ position }}
    )
{%- endmacro %}
