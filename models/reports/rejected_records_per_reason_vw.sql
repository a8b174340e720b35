with

rejected_records as (

    select
        entity,
        rejection_reason
    from {{ ref('rejected_records') }}

),

final as (

    select
        entity,
        rejection_reason,
        count(*) as record_count
    from rejected_records
    group by entity, rejection_reason

)

select * from final
