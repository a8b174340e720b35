{% macro publish(results) -%}
    {#- Runs at the end of every dbt command, after failures too. Only a whole build in
        which everything passed is published. -#}
    {%- if execute and flags.WHICH == 'build' -%}
        {%- set passed = [] -%}
        {%- set failed = [] -%}
        {%- set tests = {'pass': 0, 'warn': 0} -%}
        {%- for result in results -%}
            {%- set status = result.status | string -%}
            {%- if status in ['success', 'pass', 'warn', 'no-op'] -%}
                {%- do passed.append(result.node.unique_id) -%}
            {%- else -%}
                {%- do failed.append(result.node.name) -%}
            {%- endif -%}
            {%- if status in tests -%}
                {%- do tests.update({status: tests[status] + 1}) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set left_out = graph.nodes.values()
            | selectattr('resource_type', 'in', ['model', 'seed', 'snapshot', 'test'])
            | selectattr('config.enabled')
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
            {%- do publish_lake(tests['pass'], tests['warn']) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
