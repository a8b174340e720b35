with

versions as (

    select
        user_id,
        valid_from,
        valid_to,
        lag(valid_to) over (partition by user_id order by valid_from) as previous_to,
        lead(valid_from) over (partition by user_id order by valid_from) as next_from
    from {{ ref('dim_users') }}

)

select * from versions
where
    valid_from <> coalesce(
        previous_to, cast('{{ var("beginning_of_time") }}' as timestamp)
    )
    or valid_to <> coalesce(
        next_from, cast('{{ var("end_of_time") }}' as timestamp)
    )
