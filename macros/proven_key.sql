{% macro proven_key(table) -%}
    {#- The columns, quoted, of a table of a database that readers open, which a test
        proves to be unique; none where the database lacks them as they are. -#}
    {%- set keys = [] -%}
    {%- set models = [] -%}
    {%- for node in graph.nodes.values()
        if table.name == target.database ~ '.' ~ node.schema ~ '.' ~ node.name -%}
        {%- do models.append(node.unique_id) -%}
    {%- endfor -%}
    {%- for test in graph.nodes.values() if test.resource_type == 'test'
        and test.test_metadata is defined and test.test_metadata.name in [
            'unique', 'expect_compound_columns_to_be_unique'
        ]
        and test.attached_node in models -%}
        {%- set tested = test.test_metadata.kwargs -%}
        {%- set key = [] -%}
        {%- for name in tested.column_list or [tested.column_name] -%}
            {%- do key.append(adapter.quote(name)) -%}
        {%- endfor -%}
        {%- set exact = [] -%}
        {%- for column, form in table.seen.items()
            if column in key and form.startswith('cast(') -%}
            {%- do exact.append(column) -%}
        {%- endfor -%}
        {%- if exact | length == key | length -%}{%- do keys.append(key) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(keys | first) }}
{%- endmacro %}
