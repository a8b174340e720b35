{# The adapter's own message names neither the relation nor what to do instead. #}
{% macro duckdb__apply_grants(relation, grant_config, should_revoke=true) -%}
    {%- if grant_config -%}
        {%- do exceptions.warn(
            'The grants of ' ~ relation.identifier ~ ' are ignored: DuckDB has none. '
            ~ 'seeds/roles.csv says which role sees what.'
        ) -%}
    {%- endif -%}
{%- endmacro %}
