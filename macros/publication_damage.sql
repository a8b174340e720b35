{% macro publication_damage(publication_id, name='') -%}
    {{ return(run_query(
        "select publication_damage('" ~ publication_id ~ "', '" ~ name ~ "')"
    ).columns[0][0] if publication_id) }}
{%- endmacro %}
