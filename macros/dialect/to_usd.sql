{% macro to_usd(price, usd_per_unit) -%}
    {#- Rounded to millionths; null if the result has too many digits. -#}
    {{ return(adapter.dispatch('to_usd')(price, usd_per_unit)) }}
{%- endmacro %}

{# Both factors have 18 digits: Spark would round a wider product before this macro
   does. #}
{% macro default__to_usd(price, usd_per_unit) -%}
    {{ dbt.safe_cast(
        'cast(' ~ price ~ ' as decimal(18, 4)) * ' ~ usd_per_unit, 'decimal(18, 6)'
    ) }}
{%- endmacro %}

{# Works in 64 bits: rounding a decimal of 128 bits takes fifteen times as long. The
   casts to bigint are exact below 2^51, both in units of 10^-12 and of 10^-4. The rate
   is multiplied in two parts, so that no product reaches 2^63. #}
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
        -- 20 digits: DuckDB would keep the product of 18 by 18 digits in 64 bits.
        else {{ dbt.safe_cast(
            'cast(' ~ price ~ ' as decimal(20, 4)) * ' ~ usd_per_unit, 'decimal(18, 6)'
        ) }}
    end
{%- endmacro %}

{% macro round_rate(rate) -%}
    {#- A double as decimal(18, 12). -#}
    {{ return(adapter.dispatch('round_rate')(rate)) }}
{%- endmacro %}

{# Rounds the double as DuckDB does. A cast would round its shortest text. #}
{% macro default__round_rate(rate) -%}
    cast(
        cast(round(({{ rate }}) * 1e12) as decimal(18, 0)) * 0.000000000001
        as decimal(18, 12)
    )
{%- endmacro %}

{% macro duckdb__round_rate(rate) -%}
    cast({{ rate }} as decimal(18, 12))
{%- endmacro %}
