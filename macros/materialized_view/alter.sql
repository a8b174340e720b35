{# Returns none if query, contract and config are the same as in the last refresh. #}
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

{# If the columns change, the table is replaced; otherwise it is recomputed, and only
   rows that differ are written. #}
{% macro duckdb__get_alter_materialized_view_as_sql(
    relation, configuration_changes, sql, existing_relation, backup_relation,
    intermediate_relation
) -%}
    {%- set changed = configuration_changes.configuration
        | map(attribute='context') | list -%}
    {%- set old = adapter.get_columns_in_relation(existing_relation) -%}
    {%- set new = get_column_schema_from_query(sql) -%}
    {%- if 'columns' in changed
        or old | map(attribute='name') | list != new | map(attribute='name') | list
        or old | map(attribute='dtype') | list != new | map(attribute='dtype') | list
    -%}
        {{ return(get_replace_sql(existing_relation, relation, sql)) }}
    {%- endif -%}
    {%- set resolved = validated_query(sql) -%}
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
    {{ return(record_refresh(relation, state, resolved, changes, choice, seconds)) }}
{%- endmacro %}

{# Overrides dbt's for materialized views: creating one also drops what it replaces, in
   the same transaction. #}
{% macro duckdb__get_replace_sql(existing_relation, target_relation, sql) -%}
    {%- if target_relation.is_materialized_view -%}
        {{ return(get_create_materialized_view_as_sql(target_relation, sql)) }}
    {%- endif -%}
    {{ return(default__get_replace_sql(existing_relation, target_relation, sql)) }}
{%- endmacro %}
