{# A table in the lake, and in the same transaction what the registry holds of it. Where
   the feed will look for single groups, rows that are alike lie together. #}
{% macro duckdb__get_create_materialized_view_as_sql(relation, sql) -%}
    {%- set traced = validated_query(sql) -%}
    {%- do run_query(create_materialized_view_registry()) -%}
    {%- call statement('begin', auto_begin=true) -%}select 1{%- endcall -%}
    {%- set started = modules.datetime.datetime.now() -%}
    {%- set changes = snapshot_changes(0) -%}
    {%- set held = load_cached_relation(relation) -%}
    {%- if held is not none -%}
        {%- do run_query(get_drop_sql(held)) -%}
        {%- do uncache_relation(held) -%}
    {%- endif -%}
    {%- do run_query(create_table_as(
        false, relation, sql,
        partitioned_by=duckdb__get_partitioned_by(relation, false),
        sorted_by=duckdb__get_sorted_by(relation, false)
            or (traced.query['keys'] | first if config.get('additive'))
    )) -%}
    {%- set seconds = (modules.datetime.datetime.now() - started).total_seconds() -%}
    {%- set state = configured_state(sql) -%}
    {%- set choice = {'method': 'created', 'reason': 'it was not there'} -%}
    {{ return(record_refresh(relation, state, traced, changes, choice, seconds)) }}
{%- endmacro %}

{% macro validated_query(sql) -%}
    {#- What is known of a materialized view's query, after checking that it can be
        kept up to date, and as its config says. -#}
    {%- set traced = resolve_base_tables(sql) -%}
    {%- set query = traced.query -%}
    {%- if query.unstable -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' cannot be a materialized view: the result of '
            ~ query.unstable ~ ' changes while no table does. Make it a view, or leave '
            ~ 'that out.'
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
                ~ column.dtype ~ ', which depends on the order of its rows. Cast what '
                ~ 'is summed to decimal, or leave additive out.'
            ) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(traced) }}
{%- endmacro %}

{% macro configured_state(sql) -%}
    {#- What the registry is to hold of a view's query and config; of a contract, the
        columns that it promises, as text. -#}
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
