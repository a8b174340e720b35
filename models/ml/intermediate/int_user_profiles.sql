with

users as (

    select
        person_key,
        country_code
    from {{ ref('dim_users') }}
    where
        is_current
        and user_id <> ''
        -- The id of a person who was erased is a pseudonym with this prefix.
        and not starts_with(user_id, 'forgotten-')

),

purchases as (

    select
        person_key,
        items_checksum
    from {{ ref('int_purchases_per_buyer') }}

),

trainings as (

    select coalesce(any_value(training_id), '') as training_id
    from {{ ref('ml_similar_songs') }}

),

as_of_dates as (

    select max(as_of_date) as scoring_date
    from {{ ref('int_as_of_dates') }}

),

final as (

    select
        users.person_key,
        users.country_code,
        trainings.training_id,
        hash(
            purchases.items_checksum, users.country_code, as_of_dates.scoring_date
        ) as _profile_checksum
    from users
    cross join trainings
    cross join as_of_dates
    left join purchases on users.person_key = purchases.person_key

)

select * from final
