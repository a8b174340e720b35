{% macro new_batches(entity=none) -%}
    {#- The landed batches that are not settled, of one entity or of all. A batch is
        settled when every model that reads it has read it and its records balance, unless
        the rules have changed since, or the exchange rates of its purchases. What was
        landed after an unsettled batch is read again with it, so that the order in which
        they were delivered decides, not the order in which they were read. -#}
    {%- set known = run_cache().setdefault('new batches', {}) -%}
    {%- if not known -%}
        {%- set entities = graph.sources.values() | map(attribute='name') | sort -%}
        {%- for name in entities -%}{%- do known.update({name: []}) -%}{%- endfor -%}
        {%- for row in run_query(_unsettled_batches(entities, batch_ledger())).rows -%}
            {%- do known[row[0]].append(row[1]) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(known[entity] if entity else known.values() | sum(start=[])) }}
{%- endmacro %}

{# As the run has found it: a first build makes it on its way. One that an older version
   of the project has made does not say what is settled, so that all is read again. #}
{% macro batch_ledger() -%}
    {%- set cache = run_cache() -%}
    {%- if 'ledger' not in cache -%}
        {%- set held = load_relation(api.Relation.create(
            database=target.database, schema='quality',
            identifier='batch_reconciliation'
        )) -%}
        {%- set columns = run_query('select * from ' ~ held ~ ' limit 0').column_names
            if held else [] -%}
        {%- do cache.update({'ledger': held if 'is_settled' in columns else none}) -%}
    {%- endif -%}
    {{ return(cache['ledger']) }}
{%- endmacro %}

{% macro _unsettled_batches(entities, ledger) -%}
    {#- The query behind new_batches. -#}
    with

    landed as (

        {% for entity in entities -%}
        select
            '{{ entity }}' as entity,
            _batch_id
        from ({{ landed_batches(entity) }}) as landed_{{ entity }}
        {%- if not loop.last %}
        union all
        {% endif -%}
        {%- endfor %}

    ),

    settled as (

        {% if ledger is none -%}
        select '' as _batch_id
        where false
        {%- else -%}
        select _batch_id
        from {{ ledger }}
        group by _batch_id
        having bool_and(
            is_settled
            and missing_count = 0
            and rules_version = '{{ rejection_rules_version() }}'
            and coalesce(last_rate_date < {{ _first_changed_rate_date(ledger) }}, true)
        )
        {%- endif %}

    ),

    first_unsettled as (

        select
            entity,
            min(_batch_id) as _batch_id
        from landed
        where _batch_id not in (select settled._batch_id from settled)
        group by entity

    )

    select
        landed.entity,
        landed._batch_id
    from landed
    inner join first_unsettled on landed.entity = first_unsettled.entity
    where landed._batch_id >= first_unsettled._batch_id
    order by landed.entity, landed._batch_id
{%- endmacro %}

{% macro rejection_rules_version() -%}
    {#- Changes when the rules do by which landed records are read: the models that judge
        them, and the variables that these and their readers use. -#}
    {%- set rules = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='unique_id')
        if node.resource_type == 'model' and 'judges_records' in node.tags -%}
        {%- do rules.append(node.raw_code) -%}
    {%- endfor -%}
    {%- for name in [
        'beginning_of_time', 'end_of_time', 'first_session_date', 'last_session_date',
        'highest_price_usd', 'carry_days', 'carry_days_at_end'
    ] -%}
        {%- do rules.append(name ~ '=' ~ var(name)) -%}
    {%- endfor -%}
    {{ return(local_md5(rules | join('\n'))) }}
{%- endmacro %}

{% macro no_batch_is_settled() -%}
    {#- In a first build, or after the rules have changed: all that was landed is read. -#}
    {%- if not execute -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set cache = run_cache() -%}
    {%- if 'no batch is settled' not in cache -%}
        {%- set landed = [] -%}
        {%- for source in graph.sources.values() if batch_ledger() is not none -%}
            {%- do landed.extend(run_query(landed_batches(source.name)).rows) -%}
        {%- endfor -%}
        {%- do cache.update({
            'no batch is settled': batch_ledger() is none
                or new_batches() | length == landed | length
        }) -%}
    {%- endif -%}
    {{ return(cache['no batch is settled']) }}
{%- endmacro %}

{% macro reopen_batches() -%}
    {#- A batch that was settled and is to be read again, for a changed exchange rate for
        instance, is unsettled before any model reads it. So it stays new, whatever this
        command leaves out and wherever it stops. -#}
    {%- set batches = new_batches() if batch_ledger() is not none else [] -%}
    {%- if batches -%}
        {%- do run_query(
            'update ' ~ batch_ledger() ~ ' set is_settled = false where is_settled and '
            ~ in_list('_batch_id', batches)
        ) -%}
    {%- endif -%}
{%- endmacro %}

{% macro _changed_rate_dates(settled, newest) -%}
    {#- The query behind first_changed_rate_date. -#}
    with

    rates as (

        select
            rate_date,
            currency,
            rate,
            _batch_id
        from {{ landed_files('exchange_rates') }}
        where {{ in_list('_batch_id', [settled, newest]) }}

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

{% macro _first_changed_rate_date(ledger) -%}
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
        {%- set changed = run_query(
            _changed_rate_dates(settled or '', newest)
        ).rows[0][0] -%}
    {%- endif -%}
    cast({{ "'" ~ changed ~ "'" if changed else 'null' }} as date)
{%- endmacro %}
