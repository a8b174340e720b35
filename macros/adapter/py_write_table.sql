{# The adapter's own, but what is merged into a table waits in a temporary one, not in
   the lake: a build with nothing new writes nothing there. #}
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
