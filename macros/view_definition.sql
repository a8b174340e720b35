{# What DuckDB holds as the definition of a view, formatted its way. #}
{% macro view_definition(relation) -%}
    {%- set known = memory().setdefault('view definitions', {}) -%}
    {%- set name = relation.render() -%}
    {%- if name not in known -%}
        {%- for row in run_query(
            "select database_name, schema_name, view_name, sql[strpos(sql, ' AS ') :]"
            ~ " from duckdb_views() where database_name = '" ~ relation.database ~ "'"
        ).rows -%}
            {%- do known.update({api.Relation.create(
                database=row[0], schema=row[1], identifier=row[2]
            ).render(): row[3]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(known[name]) }}
{%- endmacro %}
