{% macro rules_version() -%}
    {#- Changes when the rules do by which landed records are read: the models that judge
        them, and the variables that these and their readers use. -#}
    {%- set rules = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='unique_id')
        if node.resource_type == 'model' and 'judges_records' in node.tags -%}
        {%- do rules.append(node.raw_code) -%}
    {%- endfor -%}
    {%- for name in [
        'beginning_of_time', 'end_of_time', 'first_session_date', 'last_session_date',
        'highest_price_usd', 'carry_days', 'carry_days_at_end'
    ] -%}
        {%- do rules.append(name ~ '=' ~ var(name)) -%}
    {%- endfor -%}
    {{ return(local_md5(rules | join('\n'))) }}
{%- endmacro %}
