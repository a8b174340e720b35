{% macro refresh_materialized_views(names=none) -%}
    {#- `dbt run-operation refresh_materialized_views`, or of some of them with
        `--args '{names: [sales_per_artist_mv]}'`. Of two of which one reads the other,
        the one that is read comes first. -#}
    {%- do run_query('select hold_lock()') -%}
    {%- set registry = materialized_view_registry() -%}
    {%- set known = {} -%}
    {%- for row in (run_query(
        'select schema_name, view_name, snapshot_id from ' ~ registry
        ~ ' order by snapshot_id'
    ).rows if registry is not none else []) -%}
        {%- do known.update({row[1]: row[0]}) -%}
    {%- endfor -%}
    {%- for name in names or [] if name not in known -%}
        {{ exceptions.raise_compiler_error(
            name ~ ' is no materialized view of this lake, which has '
            ~ (known | join(', ') or 'none') ~ '. dbt build creates them.'
        ) }}
    {%- endfor -%}
    {%- for name in names or known -%}
        {%- set relation = api.Relation.create(
            database=target.database, schema=known[name], identifier=name,
            type='materialized_view'
        ) -%}
        {%- set sql = refresh_materialized_view(relation) -%}
        {%- if sql -%}
            {%- call statement('refresh') -%}{{ sql }}{%- endcall -%}
        {%- endif -%}
        {%- do adapter.commit() -%}
    {%- endfor -%}
{%- endmacro %}
