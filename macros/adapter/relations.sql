{# Overrides dbt-duckdb's: asks once per run, and for the database's name without
   quotes. dbt asks for each schema with a quoted name, and creates each schema that it
   does not find. #}
{% macro duckdb__list_schemas(database) -%}
    {{ return(cached_query(
        "select schema_name from duckdb_schemas() where database_name = '"
        ~ database | replace('"', '') ~ "'"
    )) }}
{%- endmacro %}

{# Overrides dbt-duckdb's: DuckLake has no `cascade`. #}
{% macro duckdb__drop_table(relation) -%}
    drop table if exists {{ relation }}
{%- endmacro %}

{# Overrides dbt-duckdb's: DuckLake has no `cascade`. #}
{% macro duckdb__drop_view(relation) -%}
    drop view if exists {{ relation }}
{%- endmacro %}

{# Overrides dbt-duckdb's: DuckLake enforces `not null` and refuses other constraints.
   Those stay declared in the YAML, and tests check them. #}
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

{# Overrides dbt-duckdb's, whose message names neither the relation nor what to do
   instead. #}
{% macro duckdb__apply_grants(relation, grant_config, should_revoke=true) -%}
    {%- if grant_config -%}
        {%- do exceptions.warn(
            'The grants of ' ~ relation.identifier ~ ' are ignored: DuckDB has no grants. '
            ~ 'Set what each role sees in seeds/roles.csv.'
        ) -%}
    {%- endif -%}
{%- endmacro %}

{# Overrides dbt's, whose message also lists ways that would not fill a new column. #}
{% macro duckdb__process_schema_changes(on_schema_change, source, target) -%}
    {%- if on_schema_change == 'fail' -%}
        {%- set changes = check_for_schema_changes(source, target) -%}
        {%- if changes.schema_changed -%}
            {{ exceptions.raise_compiler_error(
                'The columns of ' ~ target.identifier ~ ' have changed since the lake '
                ~ 'was built. Run `dbt build --full-refresh`.'
            ) }}
        {%- endif -%}
    {%- endif -%}
    {{ return(default__process_schema_changes(on_schema_change, source, target)) }}
{%- endmacro %}
