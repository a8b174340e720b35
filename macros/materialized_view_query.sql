{% macro materialized_view_query(sql) -%}
    {#- What is known of a materialized view's query, after checking that it can be
        kept up to date, and as its config says. -#}
    {%- set traced = traced_query(sql) -%}
    {%- set query = traced.query -%}
    {%- if query.unstable -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' cannot be a materialized view: the result of '
            ~ query.unstable ~ ' changes while no table does. Make it a view, or leave '
            ~ 'that out.'
        ) }}
    {%- endif -%}
    {%- if config.get('additive') and query.refusal -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ ' says additive=true, but ' ~ query.refusal ~ '. Change the '
            ~ 'query, or leave additive out: the view is recomputed then.'
        ) }}
    {%- endif -%}
    {%- if config.get('additive') -%}
        {%- for column in get_column_schema_from_query(sql)
            if column.name | lower in query.sums and not modules.re.match(
                '.*INT|DECIMAL', column.dtype | upper
            ) -%}
            {{ exceptions.raise_compiler_error(
                model.name ~ ' says additive=true, but ' ~ column.name ~ ' is a sum of '
                ~ column.dtype ~ ', which depends on the order of its rows. Cast what '
                ~ 'is summed to decimal, or leave additive out.'
            ) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return(traced) }}
{%- endmacro %}
