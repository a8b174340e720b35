{% macro say_withheld_models(results) -%}
    {#- Runs at the end of every dbt command that trained, or looked whether to. -#}
    {%- if execute -%}
        {%- for result in results if result.node.name == 'ml_model_evaluations'
            and result.node.resource_type == 'model' and result.status == 'success' -%}
            {%- for row in run_query(
                'select distinct model_name, withheld_reason from '
                ~ result.node.relation_name
                ~ ' where is_current and withheld_reason is not null order by all'
            ).rows -%}
                {%- do log(
                    'Withheld: ' ~ row[0] ~ ' is not offered: '
                    ~ row[1] ~ '.', info=True
                ) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
