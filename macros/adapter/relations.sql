{# The adapter's own, asked once and of a name without quotes: dbt quotes it, asks for
   each schema, and creates anew what it does not find. #}
{% macro duckdb__list_schemas(database) -%}
    {{ return(cached_query(
        "select schema_name from duckdb_schemas() where database_name = '"
        ~ database | replace('"', '') ~ "'"
    )) }}
{%- endmacro %}

{# DuckLake knows no cascade. #}
{% macro duckdb__drop_table(relation) -%}
    drop table if exists {{ relation }}
{%- endmacro %}

{# DuckLake knows no cascade. #}
{% macro duckdb__drop_view(relation) -%}
    drop view if exists {{ relation }}
{%- endmacro %}

{# DuckLake enforces not_null and refuses the other constraints: they stay declared in
   the YAML, and tests prove them. #}
{% macro duckdb__get_table_columns_and_constraints() -%}
    (
        {%- for column in model.columns.values() %}
            {{ column.name }} {{ column.data_type }}
            {%- if 'not_null' in column.constraints | map(attribute='type') %} not null
            {%- endif -%}
            {%- if not loop.last %},{% endif -%}
        {%- endfor %}
    )
{%- endmacro %}

{# The adapter's own message names neither the relation nor what to do instead. #}
{% macro duckdb__apply_grants(relation, grant_config, should_revoke=true) -%}
    {%- if grant_config -%}
        {%- do exceptions.warn(
            'The grants of ' ~ relation.identifier ~ ' are ignored: DuckDB has none. '
            ~ 'seeds/roles.csv says which role sees what.'
        ) -%}
    {%- endif -%}
{%- endmacro %}
