{% macro relation_ids(models) -%}
    {#- The ids that the lake's catalogue gives to these models. -#}
    {%- set lake = '__ducklake_metadata_' ~ target.database ~ '.ducklake_' -%}
    {%- set names = [] -%}
    {%- for schema, name in models -%}
        {%- do names.append("('" ~ schema ~ "', '" ~ name ~ "')") -%}
    {%- endfor -%}
    {{ return(run_query(
        'select relation.id from (select table_id as id, schema_id, table_name as name,'
        ~ ' end_snapshot from ' ~ lake ~ 'table union all select view_id, schema_id,'
        ~ ' view_name, end_snapshot from ' ~ lake ~ 'view) as relation inner join '
        ~ lake ~ 'schema using (schema_id) where relation.end_snapshot is null and'
        ~ ' (schema_name, name) in (' ~ names | join(', ') ~ ')'
    ).columns[0].values()) }}
{%- endmacro %}
