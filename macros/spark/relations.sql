{# Overrides dbt-spark's, which does not see the views of an Iceberg catalogue. #}
{% macro spark__list_relations_without_caching(schema_relation) -%}
    {%- set relations = [] -%}
    {%- for kind, information in [
        ('views', 'Type: VIEW'), ('tables', 'Provider: iceberg')
    ] -%}
        {%- for row in run_query('show ' ~ kind ~ ' in ' ~ schema_relation.schema).rows
            if row[0] -%}
            {%- do relations.append((row[0], row[1], false, information)) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(relations) }}
{%- endmacro %}

{# Overrides dbt-spark's: a dropped table keeps its files without `purge`. #}
{% macro spark__drop_relation(relation) -%}
    {%- call statement('drop_relation', auto_begin=false) -%}
        {%- if relation.is_view -%}
            drop view if exists {{ relation }}
        {%- else -%}
            drop table if exists {{ relation }} purge
        {%- endif -%}
    {%- endcall -%}
{%- endmacro %}

{# A published view is a table here, so that DuckDB can read its rows. #}
{% materialization view, adapter='spark' -%}
    {%- if model.schema in var('published_schemas') -%}
        {{ return(materialization_table_spark()) }}
    {%- endif -%}
    {{ return(create_or_replace_view()) }}
{%- endmaterialization %}

{# Spark has no materialized views. A table is computed anew in each build. #}
{% materialization materialized_view, adapter='spark' -%}
    {{ return(materialization_table_spark()) }}
{%- endmaterialization %}

{# Overrides dbt-spark's, which also writes the comments of the columns. #}
{% macro spark__create_view_as(relation, sql) -%}
    create or replace view {{ relation }} as
    {{ spark__get_select_subquery(sql) if config.get('contract').enforced else sql }}
{%- endmacro %}

{# Overrides dbt-spark's: an increment has the types of the contract as well. #}
{% macro spark__create_temporary_view(relation, compiled_code) -%}
    create or replace temporary view {{ relation }} as
    {{ spark__get_select_subquery(compiled_code) if config.get('contract').enforced
        else compiled_code }}
{%- endmacro %}

{# A contract is kept by casts: Spark's sums have other numbers of digits. #}
{% macro spark__get_assert_columns_equivalent(sql) -%}{%- endmacro %}

{# Overrides dbt's: casts each column. #}
{% macro spark__get_select_subquery(sql) -%}
    select
        {%- for column in model.columns.values() %}
        cast({{ column.name }} as {{ spark_type(column.data_type) }})
            as {{ column.name }}
        {%- if not loop.last %},{% endif -%}
        {%- endfor %}
    from ({{ sql }}) as model_subquery
{%- endmacro %}

{# Overrides dbt's, which takes the types as they are. #}
{% macro spark__get_empty_schema_sql(columns) -%}
    select
        {%- for column in columns.values() %}
        cast(null as {{ spark_type(column.data_type) }}) as {{ column.name }}
        {%- if not loop.last %},{% endif -%}
        {%- endfor %}
    where false
{%- endmacro %}

{% macro spark_type(type) -%}
    {#- Spark's name of a type: the YAML files have DuckDB's. -#}
    {%- set type = type | lower | trim -%}
    {%- if type.endswith('[]') -%}
        array<{{ spark_type(type[:-2]) }}>
    {%- else -%}
        {{ {'varchar': 'string', 'uuid': 'string'}.get(type, type) }}
    {%- endif -%}
{%- endmacro %}

{# Iceberg derives years from months, and refuses both. #}
{% macro spark__partition_cols(label, required=false) -%}
    {%- set transforms = [] -%}
    {%- for transform in config.get('partitioned_by') or []
        if not transform.startswith('year(') -%}
        {%- do transforms.append(transform | replace('month(', 'months(')) -%}
    {%- endfor -%}
    {%- if transforms -%}
        {{ label }} ({{ transforms | join(', ') }})
    {%- endif -%}
{%- endmacro %}

{# Overrides dbt-spark's, which makes a commit for each column. The comment of the table
   is written with the table. #}
{% macro spark__persist_docs(relation, model, for_relation, for_columns) -%}
{%- endmacro %}
