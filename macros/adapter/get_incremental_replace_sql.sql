{# The incremental strategy `replace`: the rows of a run replace all rows of the table.
   Only rows that differ are written. A run without rows leaves the table as it is. #}
{% macro get_incremental_replace_sql(arg_dict) -%}
    {%- set columns = arg_dict.dest_columns | map(attribute='quoted') | list -%}
    {%- set temp_relation = arg_dict.temp_relation -%}
    {%- set target_relation = arg_dict.target_relation -%}
    delete from {{ target_relation }} as existing_rows
    where
        exists (select * from {{ temp_relation }})
        and not exists (
            select *
            from {{ temp_relation }} as new_rows
            where
                {%- for column in columns %}
                new_rows.{{ column }} is not distinct from existing_rows.{{ column }}
                {%- if not loop.last %} and{% endif %}
                {%- endfor %}
        );
    insert into {{ target_relation }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ temp_relation }}
    except
    select {{ columns | join(', ') }} from {{ target_relation }}
{%- endmacro %}
