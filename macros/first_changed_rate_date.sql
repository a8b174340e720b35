{% macro first_changed_rate_date(ledger) -%}
    {#- A date literal: the first day whose exchange rate differs between the newest
        extract of the ECB's list and the last one that is settled; a cast null where
        there is no such day. Days after the end of the settled list had provisional
        rates. Purchases from that day on are converted again. -#}
    {%- set newest = run_query('select ' ~ latest_batch('exchange_rates')).rows[0][0] -%}
    {%- set settled = run_query(
        'select max(_batch_id) from ' ~ ledger
        ~ " where entity = 'exchange_rates' and is_settled"
    ).rows[0][0] -%}
    {%- set changed = none -%}
    {%- if newest != settled -%}
        {%- set changed = run_query(changed_rate_dates(settled or '', newest)).rows[0][0] -%}
    {%- endif -%}
    cast({{ "'" ~ changed ~ "'" if changed else 'null' }} as date)
{%- endmacro %}

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
