with

orders as (

    select
        person_key,
        session_start_time
    from {{ ref('fact_orders') }}

),

users as (

    select
        person_key,
        user_since
    from {{ ref('dim_users') }}
    where is_current

),

first_orders as (

    select
        person_key,
        min(session_start_time) as first_ordered_at
    from orders
    group by person_key

),

days as (

    select
        {{ dbt.datediff('users.user_since', 'first_orders.first_ordered_at', 'day') }}
            as days_to_first_order,
        users.user_since is null as is_unknown,
        first_orders.person_key is null as has_no_order
    from users
    left join first_orders on users.person_key = first_orders.person_key
    -- The unknown member counts only if it has orders.
    where
        users.person_key <> {{ unknown_member_key() }}
        or first_orders.person_key is not null

),

banded as (

    select
        case
            when has_no_order then 8
            when is_unknown then 9
            -- Possible: the account was created again, or a clock was wrong.
            when days_to_first_order < 0 then 1
            when days_to_first_order = 0 then 2
            when days_to_first_order <= 7 then 3
            when days_to_first_order <= 30 then 4
            when days_to_first_order <= 90 then 5
            when days_to_first_order <= 365 then 6
            else 7
        end as band_number
    from days

),

final as (

    select
        band_number,
        case band_number
            when 1 then 'Before sign-up'
            when 2 then 'Same day'
            when 3 then '1 to 7 days'
            when 4 then '8 to 30 days'
            when 5 then '31 to 90 days'
            when 6 then '91 to 365 days'
            when 7 then 'Over a year'
            when 8 then 'No order yet'
            else 'Unknown'
        end as band,
        count(*) as user_count
    from banded
    group by band_number

)

select * from final
