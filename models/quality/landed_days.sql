{{ config(materialized='view') }}

with

batches as (

    select
        cast({{ dbt.split_part('_batch_id', "'_'", 2) }} as date) as date,
        _ingested_at
    from {{ ref('batch_reconciliation') }}
    where entity = 'sessions' and is_settled

),

-- What was fetched before the day was over need not be all of it.
whole_days as (

    select distinct date
    from batches
    where _ingested_at >= {{ dbt.dateadd('day', 1, 'date') }}

),

-- The days of a run without a gap have the same number.
numbered_days as (

    select
        date,
        {{ dbt.datediff("cast('1900-01-01' as date)", 'date', 'day') }}
        - row_number() over (order by date) as run_number
    from whole_days

),

final as (

    select
        {{ date_key('date') }} as date_key,
        date,
        max(date) over (partition by run_number) as landed_through
    from numbered_days

)

select * from final
