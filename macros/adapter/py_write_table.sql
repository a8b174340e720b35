{# Overrides dbt-duckdb's: rows to be merged wait in a temporary table and not in the
   lake, so that a build with nothing new writes nothing to the lake. #}
{% macro py_write_table(
    temporary, relation, compiled_code, partitioned_by=none, sorted_by=none
) -%}
{{ compiled_code }}

def materialize(df, con):
    con.register('df', df)
    con.execute(
        'create {{ "temporary " if temporary }}table {{ relation }} as select * from df'
    )
    con.unregister('df')
{%- endmacro %}
