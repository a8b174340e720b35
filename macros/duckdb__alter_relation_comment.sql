{# The adapter's own, for which a materialized view is a table. #}
{% macro duckdb__alter_relation_comment(relation, comment) -%}
    comment on {{ 'view' if relation.is_view else 'table' }} {{ relation }}
    is {{ duckdb_escape_comment(comment) }}
{%- endmacro %}
