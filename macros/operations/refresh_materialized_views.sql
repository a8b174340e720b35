{% macro refresh_materialized_views(names=none) -%}
    {#- `dbt run-operation refresh_materialized_views`; some views only with `--args
        '{names: [sales_per_artist_mv]}'`. A view is refreshed after the views that it
        reads. -#}
    {%- do lock_lake() -%}
    {%- set states = materialized_view_states() -%}
    {%- set views = {} -%}
    {%- for schema_and_name, state in states.items() -%}
        {%- do views.update({schema_and_name.split('.')[1]: {
            'schema': schema_and_name.split('.')[0],
            'base_tables': state.base_tables | map(attribute='name') | list,
        }}) -%}
    {%- endfor -%}
    {%- for name in names or [] if name not in views -%}
        {{ exceptions.raise_compiler_error(
            name ~ ' is not a materialized view of this lake. It has: '
            ~ (views | join(', ') or 'none') ~ '. `dbt build` creates them.'
        ) }}
    {%- endfor -%}
    {%- set ordered = [] -%}
    {%- for _ in views -%}
        {%- for name in views if name not in ordered -%}
            {%- set upstream = [] -%}
            {%- for other in views if other not in ordered
                and (target.database ~ '.' ~ views[other].schema ~ '.' ~ other) | lower
                in views[name].base_tables -%}
                {%- do upstream.append(other) -%}
            {%- endfor -%}
            {%- if not upstream -%}{%- do ordered.append(name) -%}{%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name in ordered if name in (names or views) -%}
        {%- set sql = duckdb__refresh_materialized_view(api.Relation.create(
            database=target.database, schema=views[name].schema, identifier=name,
            type='materialized_view'
        )) -%}
        {%- if sql -%}
            {%- call statement('refresh') -%}{{ sql }}{%- endcall -%}
        {%- endif -%}
        {%- do adapter.commit() -%}
    {%- endfor -%}
    {%- do run_query('select clear_spool()') -%}
{%- endmacro %}
