{# None when the query, the contract and the config are those of the last refresh. #}
{% macro duckdb__get_materialized_view_configuration_changes(existing_relation, new_config) -%}
    {%- if new_config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {%- set state = materialized_view_states()[
        existing_relation.schema ~ '.' ~ existing_relation.identifier
    ] -%}
    {%- set changed = [] -%}
    {%- for name, value in configured_state(sql).items() if state[name] != value -%}
        {%- do changed.append({'action': 'change', 'context': name}) -%}
    {%- endfor -%}
    {{ return({'configuration': changed} if changed else none) }}
{%- endmacro %}

{# The table stays, and its rows that are the same, unless its columns change. #}
{% macro duckdb__get_alter_materialized_view_as_sql(
    relation, configuration_changes, sql, existing_relation, backup_relation,
    intermediate_relation
) -%}
    {%- set changed = configuration_changes.configuration
        | map(attribute='context') | list -%}
    {%- set held = adapter.get_columns_in_relation(existing_relation) -%}
    {%- set wanted = get_column_schema_from_query(sql) -%}
    {%- if 'columns' in changed or held | map(attribute='name') | list
        != wanted | map(attribute='name') | list or held | map(attribute='dtype') | list
        != wanted | map(attribute='dtype') | list -%}
        {{ return(get_replace_sql(existing_relation, relation, sql)) }}
    {%- endif -%}
    {%- set traced = validated_query(sql) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set changes = snapshot_changes(0) -%}
    {%- do recompute(relation, sql) -%}
    {%- set seconds = (modules.datetime.datetime.now() - started).total_seconds() -%}
    {%- set state = configured_state(sql) -%}
    {%- set choice = {
        'method': 'recomputed',
        'reason': 'its ' ~ changed | join(' and ') ~ ' changed',
    } -%}
    {{ return(record_refresh(relation, state, traced, changes, choice, seconds)) }}
{%- endmacro %}

{# A materialized view is created in one transaction with the end of what it replaces. #}
{% macro duckdb__get_replace_sql(existing_relation, target_relation, sql) -%}
    {%- if target_relation.is_materialized_view -%}
        {{ return(get_create_materialized_view_as_sql(target_relation, sql)) }}
    {%- endif -%}
    {{ return(default__get_replace_sql(existing_relation, target_relation, sql)) }}
{%- endmacro %}
