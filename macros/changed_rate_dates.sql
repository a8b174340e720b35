{% macro changed_rate_dates(settled, newest) -%}
    with

    rates as (

        select
            rate_date,
            currency,
            rate,
            _batch_id
        from {{ landed('exchange_rates') }}
        where {{ is_one_of('_batch_id', [settled, newest]) }}

    ),

    changed as (

        select rate_date
        from rates
        group by rate_date, currency, rate
        having count(distinct _batch_id) = 1

        union all

        -- Carried provisionally until a list came that goes on.
        select {{ dbt.dateadd('day', 1, 'max(rate_date)') }} as rate_date
        from rates
        where _batch_id = '{{ settled }}'
        having
            max(rate_date) < (
                select max(listed.rate_date)
                from rates as listed
                where listed._batch_id = '{{ newest }}'
            )

    )

    select cast(min(rate_date) as date) from changed
{%- endmacro %}
