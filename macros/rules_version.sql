{% macro rules_version() -%}
    {#- Changes when a rule does by which records are rejected: the models that judge
        them, and the limits in dbt_project.yml. -#}
    {%- set rules = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='unique_id')
        if node.resource_type == 'model' and 'judges_records' in node.tags -%}
        {%- do rules.append(node.raw_code) -%}
    {%- endfor -%}
    {%- for limit in [
        'first_session_date', 'last_session_date', 'highest_price_usd'
    ] -%}
        {%- do rules.append(var(limit) | string) -%}
    {%- endfor -%}
    {{ return(local_md5(rules | join('\n'))) }}
{%- endmacro %}
