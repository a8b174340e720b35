{% macro to_usd(price, usd_per_unit) -%}
    {#- Rounded to millionths; null where that has too many digits. -#}
    {{ return(adapter.dispatch('to_usd')(price, usd_per_unit)) }}
{%- endmacro %}

{# Both factors in 18 digits: of a wider product Spark would round the last digit before
   this does. #}
{% macro default__to_usd(price, usd_per_unit) -%}
    {{ dbt.safe_cast(
        'cast(' ~ price ~ ' as decimal(18, 4)) * ' ~ usd_per_unit, 'decimal(18, 6)'
    ) }}
{%- endmacro %}

{# Rounding a decimal of 128 bits takes fifteen times as long as all of this in 64. The
   casts to bigint are exact below 2^51, of 10^-12 as of 10^-4; the rate is multiplied in
   two parts, so that no product reaches 2^63. #}
{% macro duckdb__to_usd(price, usd_per_unit) -%}
    {%- set units = 'cast(cast(' ~ price ~ ' as double) * 10000 as bigint)' -%}
    {%- set rate = 'cast(cast(' ~ usd_per_unit
        ~ ' as double) * 1000000000000 as bigint)' -%}
    case
        when {{ price }} between 0 and 90000 and {{ usd_per_unit }} between 0 and 2000
            then cast(cast(
                {{ units }} * ({{ rate }} // 10000000000)
                + ({{ units }} * ({{ rate }} % 10000000000) + 5000000000) // 10000000000
                as decimal(18, 0)
            ) * 0.000001 as decimal(18, 6))
        -- DuckDB would keep a product of 18 digits by 18 in 64 bits.
        else {{ dbt.safe_cast(
            'cast(' ~ price ~ ' as decimal(20, 4)) * ' ~ usd_per_unit, 'decimal(18, 6)'
        ) }}
    end
{%- endmacro %}
