{# Creates a table in the lake and, in the same transaction, its entry in the registry.
   An additive view is sorted by its first key, because an incremental refresh looks for
   single groups. #}
{% macro duckdb__get_create_materialized_view_as_sql(relation, sql) -%}
    {%- set resolved = validated_query(sql) -%}
    {%- do run_query(create_materialized_view_registry()) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set changes = snapshot_changes(0) -%}
    {%- set existing = load_cached_relation(relation) -%}
    {%- if existing is not none -%}
        {%- do run_query(get_drop_sql(existing)) -%}
        {%- do uncache_relation(existing) -%}
    {%- endif -%}
    {%- do run_query(create_table_as(
        false, relation, sql,
        partitioned_by=duckdb__get_partitioned_by(relation, false),
        sorted_by=duckdb__get_sorted_by(relation, false)
            or (resolved.query['keys'] | first if config.get('additive'))
    )) -%}
    {%- set seconds = (modules.datetime.datetime.now() - started).total_seconds() -%}
    {%- set state = configured_state(sql) -%}
    {%- set choice = {'method': 'created', 'reason': 'it did not exist'} -%}
    {{ return(record_refresh(relation, state, resolved, changes, choice, seconds)) }}
{%- endmacro %}

{% macro validated_query(sql) -%}
    {#- The resolved query of a materialized view. Fails if the view cannot be kept up
        to date, or not in the way that its config says. -#}
    {%- set resolved = resolve_base_tables(sql) -%}
    {%- set query = resolved.query -%}
    {%- if query.unstable -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' cannot be a materialized view: the result of '
            ~ query.unstable ~ ' changes although no table changes. Remove it, or '
            ~ 'materialize the model as a view.'
        ) }}
    {%- endif -%}
    {%- if config.get('additive') and query.refusal -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' says additive=true, but ' ~ query.refusal ~ '. Change the '
            ~ 'query, or leave additive out: the view is recomputed then.'
        ) }}
    {%- endif -%}
    {%- if config.get('additive') -%}
        {%- for column in get_column_schema_from_query(sql)
            if column.name | lower in query.sums and not modules.re.match(
                '.*INT|DECIMAL', column.dtype | upper
            ) -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' says additive=true, but ' ~ column.name ~ ' is a sum of '
                ~ column.dtype ~ ', which depends on the order of the rows. Cast the '
                ~ 'summed values to decimal, or leave additive out.'
            ) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(resolved) }}
{%- endmacro %}

{% macro configured_state(sql) -%}
    {#- The entry of a view in the registry, from its query and config. `columns` is
        JSON: the columns of an enforced contract. -#}
    {%- set columns = {} -%}
    {%- if config.get('contract').enforced -%}
        {%- for column in model.columns.values() -%}
            {%- do columns.update({column.name: [
                column.data_type, column.constraints | map(attribute='type') | list
            ]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return({
        'definition': sql,
        'columns': tojson(columns),
        'is_additive': config.get('additive', false),
    }) }}
{%- endmacro %}
