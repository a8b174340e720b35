{% macro remembered(question) -%}
    {#- The rows of a query whose answer no node of this run changes. -#}
    {%- set answers = memory().setdefault('answers', {}) -%}
    {%- if question not in answers -%}
        {%- do answers.update({question: run_query(question).rows}) -%}
    {%- endif -%}
    {{ return(answers[question]) }}
{%- endmacro %}
