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
