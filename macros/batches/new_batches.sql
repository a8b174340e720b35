{% macro new_batches(entity=none) -%}
    {#- The landed batches that are not settled, of one entity or of all. A batch is
        settled when every model that reads it has read it and its records balance. It
        is no longer settled when the rules change, or the exchange rates of its
        purchases. Batches that were landed after an unsettled batch of the same entity
        are new as well, so that the order of delivery decides and not the order of
        reading. -#}
    {%- set batches = run_cache().setdefault('new batches', {}) -%}
    {%- if not batches -%}
        {%- set entities = graph.sources.values() | map(attribute='name') | sort -%}
        {%- for name in entities -%}{%- do batches.update({name: []}) -%}{%- endfor -%}
        {%- set query = _unsettled_batches(entities, batch_audit_table()) -%}
        {%- for row in run_query(query).rows -%}
            {%- do batches[row[0]].append(row[1]) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(batches[entity] if entity else batches.values() | sum(start=[])) }}
{%- endmacro %}

{# quality.batch_reconciliation as of the start of the run; none before the first build.
   A table of an older version of the project, without is_settled, counts as none, so
   all batches are read again. #}
{% macro batch_audit_table() -%}
    {%- set cache = run_cache() -%}
    {%- if 'audit table' not in cache -%}
        {%- set table = load_relation(api.Relation.create(
            database=target.database or none, schema='quality',
            identifier='batch_reconciliation'
        )) -%}
        {%- set columns = run_query('select * from ' ~ table ~ ' limit 0').column_names
            if table else [] -%}
        {%- do cache.update({
            'audit table': table if 'is_settled' in columns else none
        }) -%}
    {%- endif -%}
    {{ return(cache['audit table']) }}
{%- endmacro %}

{% macro _unsettled_batches(entities, audit_table) -%}
    {#- The query of new_batches. -#}
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

        {% if audit_table is none -%}
        select '' as _batch_id
        where false
        {%- else -%}
        select _batch_id
        from {{ audit_table }}
        group by _batch_id
        having bool_and(
            is_settled
            and missing_count = 0
            and rules_version = '{{ rejection_rules_version() }}'
            and coalesce(
                last_rate_date < {{ _first_changed_rate_date(audit_table) }}, true
            )
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
    {#- A hash of the rules by which landed records are accepted or rejected: the code
        of the models with the tag rejection_rules, and variables of the project. -#}
    {%- set rules = [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='unique_id')
        if node.resource_type == 'model' and 'rejection_rules' in node.tags -%}
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
    {#- True in a first build and after the rules have changed: all landed batches are
        read. -#}
    {%- if not execute -%}
        {{ return(true) }}
    {%- endif -%}
    {%- set cache = run_cache() -%}
    {%- if 'no batch is settled' not in cache -%}
        {%- set landed = [] -%}
        {%- for source in graph.sources.values() if batch_audit_table() is not none -%}
            {%- do landed.extend(run_query(landed_batches(source.name)).rows) -%}
        {%- endfor -%}
        {%- do cache.update({
            'no batch is settled': batch_audit_table() is none
                or new_batches() | length == landed | length
        }) -%}
    {%- endif -%}
    {{ return(cache['no batch is settled']) }}
{%- endmacro %}

{% macro reopen_batches() -%}
    {#- Sets is_settled to false for batches that are read again, for example because an
        exchange rate has changed. This happens before any model reads them, so that
        they stay new even if this command leaves out models or stops early. -#}
    {%- set batches = new_batches() if batch_audit_table() is not none else [] -%}
    {%- if batches -%}
        {%- do run_query(
            'update ' ~ batch_audit_table() ~ ' set is_settled = false'
            ~ ' where is_settled and ' ~ in_list('_batch_id', batches)
        ) -%}
    {%- endif -%}
{%- endmacro %}

{% macro _changed_rate_dates(settled, newest) -%}
    {#- The query of _first_changed_rate_date. -#}
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

        -- Rates after the last day of the settled list were provisional. They change if
        -- the newest list continues beyond that day.
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

{% macro _first_changed_rate_date(audit_table) -%}
    {#- A date literal: the first day whose exchange rate differs between the newest
        extract of the ECB's list and the last settled one; null if there is no such
        day. Purchases from that day on are converted again. -#}
    {%- set newest = run_query('select ' ~ latest_batch('exchange_rates')).rows[0][0] -%}
    {%- set settled = run_query(
        'select max(_batch_id) from ' ~ audit_table
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
