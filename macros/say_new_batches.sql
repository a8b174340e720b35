{% macro say_new_batches() -%}
    {#- At the end of a command that reads batches and has not settled them. -#}
    {%- if execute and flags.WHICH in ['build', 'run'] and new_batches() -%}
        {%- do memory().pop('ledger') -%}
        {%- do memory().pop('new batches') -%}
        {%- set batches = new_batches() -%}
        {%- set unselected = unselected_readers() -%}
        {%- if batches -%}
            {%- do log(
                batches | length ~ ' landed batches stay new, as '
                ~ ('this command left out ' ~ unselected | join(', ')
                    if unselected else 'not every model that reads them was built')
                ~ '. The next `dbt build` reads them in every model.', info=True
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
