{% macro publish(results) -%}
    {#- Runs at the end of every dbt command, after failures too. Only a whole build in
        which everything passed is published. -#}
    {%- if execute and flags.WHICH == 'build' -%}
        {%- set passed = [] -%}
        {%- set failed = [] -%}
        {%- for result in results -%}
            {%- if result.status | string in ['success', 'pass', 'warn', 'no-op'] -%}
                {%- do passed.append(result.node.unique_id) -%}
            {%- else -%}
                {%- do failed.append(result.node.name) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set left_out = graph.nodes.values()
            | selectattr('resource_type', 'in', ['model', 'seed', 'snapshot', 'test'])
            | rejectattr('unique_id', 'in', passed) | list -%}
        {%- if failed -%}
            {%- do log(
                'Not published: ' ~ failed | length ~ ' nodes failed or were skipped. '
                ~ 'What was published before stays.', info=True
            ) -%}
        {%- elif left_out -%}
            {%- do log(
                'Not published: only a part was built. `dbt build` publishes.',
                info=True
            ) -%}
        {%- else -%}
            {%- do log('Published ' ~ publish_tables(), info=True) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
