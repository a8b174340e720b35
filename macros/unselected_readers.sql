{% macro unselected_readers() -%}
    {#- The names of the models that read batches and that this command leaves out. Only a
        command that leaves out none settles the batches that it reads. -#}
    {%- set unselected = [] -%}
    {%- for id in batch_readers() if id not in selected_resources -%}
        {%- do unselected.append(graph.nodes[id].name) -%}
    {%- endfor -%}
    {{ return(unselected) }}
{%- endmacro %}
