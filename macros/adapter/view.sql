{# Overrides dbt's view materialization, which replaces each view in every run: each
   time a commit to the lake. This one leaves a view alone whose definition is the
   same. #}
{% materialization view, adapter='duckdb' -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- set view = this.incorporate(type='view') -%}
    {{ run_hooks(pre_hooks) }}
    {%- if existing is not none and not existing.is_view -%}
        {%- do adapter.drop_relation(existing) -%}
    {%- endif -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent(sql) -%}
    {%- endif -%}
    {%- if existing is not none and existing.is_view
        and view_definition(existing) == _new_definition(sql) -%}
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

{# The definition of a view as DuckDB stores it, in DuckDB's own formatting. #}
{% macro view_definition(relation) -%}
    {%- set definitions = run_cache().setdefault('view definitions', {}) -%}
    {%- set name = relation.render() -%}
    {%- if name not in definitions -%}
        {%- for row in run_query(
            "select database_name, schema_name, view_name, sql[strpos(sql, ' AS ') :]"
            ~ " from duckdb_views() where database_name = '" ~ relation.database ~ "'"
        ).rows -%}
            {%- do definitions.update({api.Relation.create(
                database=row[0], schema=row[1], identifier=row[2]
            ).render(): row[3]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(definitions[name]) }}
{%- endmacro %}

{# The definition that a view of this query would have: a temporary view in memory is no
   commit to the lake. #}
{% macro _new_definition(sql) -%}
    {{ return(run_query(
        'create or replace temporary view new_definition as (' ~ sql ~ ");"
        ~ " select sql[strpos(sql, ' AS ') :] from duckdb_views()"
        ~ " where database_name = 'temp' and view_name = 'new_definition'"
    ).columns[0][0]) }}
{%- endmacro %}
