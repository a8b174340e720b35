with

landed_days as (

    select
        date,
        landed_through
    from {{ ref('landed_days') }}

),

users as (

    select
        person_key,
        cast(user_since as date) as signed_up_date
    from {{ ref('dim_users') }}
    where is_current

),

buyers as (

    select
        person_key,
        cast(first_ordered_at as date) as first_order_date
    from {{ ref('dim_buyers') }}

),

days as (

    select
        {{ dbt.datediff('users.signed_up_date', 'buyers.first_order_date', 'day') }}
            as days_to_first_order,
        {{ dbt.datediff('users.signed_up_date', 'landed_days.landed_through', 'day') }}
            as days_landed,
        buyers.person_key is not null as has_ordered
    from users
    left join buyers on users.person_key = buyers.person_key
    -- How long the user can be followed from the day of the sign-up on.
    left join landed_days on users.signed_up_date = landed_days.date
    -- The unknown member counts only if it has orders.
    where
        users.person_key <> {{ unknown_member_key() }}
        or buyers.person_key is not null

),

banded as (

    select
        case
            -- Possible: the account was created again, or a clock was wrong.
            when days_to_first_order < 0 then 1
            -- An earlier order may be on a day that was not landed.
            when has_ordered and days_to_first_order <= days_landed
                then
                    case
                        when days_to_first_order = 0 then 2
                        when days_to_first_order <= 7 then 3
                        when days_to_first_order <= 30 then 4
                        when days_to_first_order <= 90 then 5
                        when days_to_first_order <= 365 then 6
                        else 7
                    end
            when has_ordered then 10
            when days_landed >= 90 then 8
            when days_landed >= 0 then 9
            else 11
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
            when 8 then 'No order in 90 days or more'
            when 9 then 'No order yet, before 90 days'
            when 10 then 'Unknown'
            else 'No order known'
        end as band,
        count(*) as user_count
    from banded
    group by band_number

)

select * from final
