{% macro say_new_batches() -%}
    {#- At the end of a command that reads batches and has not settled them. -#}
    {%- if execute and flags.WHICH in ['build', 'run'] and new_batches() -%}
        {%- do memory().pop('ledger') -%}
        {%- do memory().pop('new batches') -%}
        {%- set batches = new_batches() -%}
        {%- set unselected = unselected_readers() | sort -%}
        {%- if batches -%}
            {%- do log(
                'Landed batches that stay new: ' ~ batches | length ~ ', as '
                ~ ('this command left out ' ~ unselected | length
                    ~ ' models that read them, such as ' ~ unselected[0]
                    if unselected else 'not every model that reads them was built')
                ~ '. The next `dbt build` reads them in every model.', info=True
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
