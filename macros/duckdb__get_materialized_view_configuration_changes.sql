{# None when the query, the contract and the config are those of the last refresh. #}
{% macro duckdb__get_materialized_view_configuration_changes(existing_relation, new_config) -%}
    {%- if new_config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {%- set state = materialized_view_states()[
        existing_relation.schema ~ '.' ~ existing_relation.identifier
    ] -%}
    {%- set wanted = {
        'definition': sql,
        'columns': materialized_view_columns(),
        'is_additive': new_config.get('additive', false),
    } -%}
    {%- set changed = [] -%}
    {%- for name, value in wanted.items() if state[name] != value -%}
        {%- do changed.append({'action': 'change', 'context': name}) -%}
    {%- endfor -%}
    {{ return({'configuration': changed} if changed else none) }}
{%- endmacro %}
