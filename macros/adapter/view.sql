{# dbt's own view materialization replaces a view at every run; each time that is a
   commit to the lake. This one leaves a view alone that says the same already. #}
{% materialization view, adapter='duckdb' -%}
    {%- set held = load_cached_relation(this) -%}
    {%- set view = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks) }}
    {%- if held is not none and not held.is_view -%}
        {%- do adapter.drop_relation(held) -%}
    {%- endif -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {%- if held is not none and held.is_view
        and view_definition(held) == _new_definition(sql) -%}
        {%- call noop_statement('main', 'UNCHANGED', 'UNCHANGED') -%}{%- endcall -%}
    {%- else -%}
        {%- call statement('main') -%}
            create or replace view {{ view }} as ({{ sql }})
        {%- endcall -%}
        {%- do uncache_relation(view) -%}
    {%- endif -%}
    {%- do persist_docs(view, model) -%}
    {{ run_hooks(post_hooks) }}
    {%- do adapter.commit() -%}
    {{ return({'relations': [view]}) }}
{%- endmaterialization %}

{# What DuckDB holds as the definition of a view, formatted its way. #}
{% macro view_definition(relation) -%}
    {%- set known = run_cache().setdefault('view definitions', {}) -%}
    {%- set name = relation.render() -%}
    {%- if name not in known -%}
        {%- for row in run_query(
            "select database_name, schema_name, view_name, sql[strpos(sql, ' AS ') :]"
            ~ " from duckdb_views() where database_name = '" ~ relation.database ~ "'"
        ).rows -%}
            {%- do known.update({api.Relation.create(
                database=row[0], schema=row[1], identifier=row[2]
            ).render(): row[3]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(known[name]) }}
{%- endmacro %}

{# The same of a query, made in memory, where it costs nothing. #}
{% macro _new_definition(sql) -%}
    {{ return(run_query(
        'create or replace temporary view new_definition as (' ~ sql ~ ");"
        ~ " select sql[strpos(sql, ' AS ') :] from duckdb_views()"
        ~ " where database_name = 'temp' and view_name = 'new_definition'"
    ).columns[0][0]) }}
{%- endmacro %}
