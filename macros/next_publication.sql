{% macro next_publication() -%}
    {{ return(run_query(
        "select next_publication(coalesce(max(publication_id), '')) from "
        ~ target.database ~ '.quality.publications'
    ).columns[0][0]) }}
{%- endmacro %}
