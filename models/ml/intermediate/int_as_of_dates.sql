with

purchases_per_day as (

    select
        date_key,
        items_checksum
    from {{ ref('int_purchases_per_day') }}

),

scoring_dates as (

    {%- if var('as_of_date') %}
    select cast('{{ var("as_of_date") }}' as date) as scoring_date
    {%- else %}
        select
            cast(date_trunc(
                'week', strptime(cast(max(date_key) as varchar), '%Y%m%d')
            ) as date) as scoring_date
        from purchases_per_day
    {%- endif %}

),

as_of_dates as (

    {%- for date_role in ['scoring', 'evaluation', 'training'] %}
        select
            '{{ date_role }}' as date_role,
            scoring_date - {{ loop.index0 * as_of_date_step() }} as as_of_date
        from scoring_dates
        {%- if not loop.last %}

            union all
        {% endif %}
    {%- endfor %}

),

final as (

    select
        as_of_dates.date_role,
        as_of_dates.as_of_date,
        cast(sum(purchases_per_day.items_checksum) as varchar) as _purchases_checksum
    from as_of_dates
    left join purchases_per_day
        on purchases_per_day.date_key < {{ date_key('as_of_dates.as_of_date') }}
    where as_of_dates.as_of_date is not null
    group by as_of_dates.date_role, as_of_dates.as_of_date

)

select * from final
