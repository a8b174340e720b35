{% macro batch_readers() -%}
    {#- The ids of batch_reconciliation and of all models upstream of it. -#}
    {%- set memory = memory() -%}
    {%- if 'batch readers' not in memory -%}
        {%- set readers = graph.nodes
            | select('equalto', 'model.deftunes.batch_reconciliation') | list -%}
        {#- Jinja's loop sees what is appended to its list while it runs. -#}
        {%- for id in readers -%}
            {%- for upstream in graph.nodes[id].depends_on.nodes
                if upstream.startswith('model.') and upstream not in readers -%}
                {%- do readers.append(upstream) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- do memory.update({'batch readers': readers}) -%}
    {%- endif -%}
    {{ return(memory['batch readers']) }}
{%- endmacro %}
