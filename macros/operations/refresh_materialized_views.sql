{% macro refresh_materialized_views(names=none) -%}
    {#- `dbt run-operation refresh_materialized_views`, or of some of them with
        `--args '{names: [sales_per_artist_mv]}'`. What a view reads comes before it. -#}
    {%- do lock_lake() -%}
    {%- set states = materialized_view_states() -%}
    {%- set known = {} -%}
    {%- for place, state in states.items() -%}
        {%- do known.update({place.split('.')[1]: {
            'schema': place.split('.')[0],
            'bases': state.bases | map(attribute='name') | list,
        }}) -%}
    {%- endfor -%}
    {%- for name in names or [] if name not in known -%}
        {{ exceptions.raise_compiler_error(
            name ~ ' is no materialized view of this lake, which has '
            ~ (known | join(', ') or 'none') ~ '. dbt build creates them.'
        ) }}
    {%- endfor -%}
    {%- set ordered = [] -%}
    {%- for _ in known -%}
        {%- for name in known if name not in ordered -%}
            {%- set above = [] -%}
            {%- for other in known if other not in ordered and (target.database ~ '.'
                ~ known[other].schema ~ '.' ~ other) | lower in known[name].bases -%}
                {%- do above.append(other) -%}
            {%- endfor -%}
            {%- if not above -%}{%- do ordered.append(name) -%}{%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for name in ordered if name in (names or known) -%}
        {%- set sql = duckdb__refresh_materialized_view(api.Relation.create(
            database=target.database, schema=known[name].schema, identifier=name,
            type='materialized_view'
        )) -%}
        {%- if sql -%}
            {%- call statement('refresh') -%}{{ sql }}{%- endcall -%}
        {%- endif -%}
        {%- do adapter.commit() -%}
    {%- endfor -%}
    {%- do run_query('select clear_spool()') -%}
{%- endmacro %}
