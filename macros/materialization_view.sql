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
        and view_definition(held) == new_definition(sql) -%}
        {%- call noop_statement('main', 'UNCHANGED', 'UNCHANGED') -%}{%- endcall -%}
    {%- else -%}
        {%- call statement('main') -%}
            create or replace view {{ view }} as ({{ sql }})
        {%- endcall -%}
        {%- do forget_relation(view) -%}
    {%- endif -%}
    {%- do persist_docs(view, model) -%}
    {%- if 'spooled' in config.get('tags') -%}
        {%- do read_once(view) -%}
    {%- endif -%}
    {{ run_hooks(post_hooks) }}
    {%- do adapter.commit() -%}
    {{ return({'relations': [view]}) }}
{%- endmaterialization %}
