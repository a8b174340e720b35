{# The strategy `replace`: the rows of a run take the place of all others; a run without
   rows leaves the table as it is. #}
{% macro get_incremental_replace_sql(arg_dict) -%}
    delete from {{ arg_dict.target_relation }}
    where exists (select * from {{ arg_dict.temp_relation }});
    insert into {{ arg_dict.target_relation }} by name
    select * from {{ arg_dict.temp_relation }}
{%- endmacro %}
