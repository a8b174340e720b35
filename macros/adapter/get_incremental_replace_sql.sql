{# The strategy `replace`: the rows of a run take the place of all others, and only the
   rows that differ are written; a run without rows leaves the table as it is. #}
{% macro get_incremental_replace_sql(arg_dict) -%}
    {%- set columns = arg_dict.dest_columns | map(attribute='quoted') | list -%}
    {%- set made = arg_dict.temp_relation -%}
    {%- set held = arg_dict.target_relation -%}
    delete from {{ held }} as held
    where
        exists (select * from {{ made }})
        and not exists (
            select *
            from {{ made }} as made
            where
                {%- for column in columns %}
                made.{{ column }} is not distinct from held.{{ column }}
                {%- if not loop.last %} and{% endif %}
                {%- endfor %}
        );
    insert into {{ held }} ({{ columns | join(', ') }})
    select {{ columns | join(', ') }} from {{ made }}
    except
    select {{ columns | join(', ') }} from {{ held }}
{%- endmacro %}
