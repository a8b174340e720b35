with

user_features as (

    select distinct
        as_of_date,
        _purchases_checksum
    from {{ ref('ml_user_features') }}

),

as_of_dates as (

    select
        as_of_date,
        _purchases_checksum
    from {{ ref('int_as_of_dates') }}
    where date_role = 'scoring'

),

purchases as (

    select
        cast(strptime(cast(min(date_key) as varchar), '%Y%m%d') as date)
            as first_purchase_date
    from {{ ref('int_purchases_per_day') }}

),

learned_works as (

    select distinct
        purchased_works.song_key,
        purchased_works.artist_key,
        purchased_works.work_key
    from {{ ref('int_purchased_works') }} as purchased_works
    inner join as_of_dates
        on purchased_works.session_start_time < as_of_dates.as_of_date

),

trainings as (

    -- Raise a version when the model's code, inputs or parameters change: it is trained
    -- again. A command that leaves out ml_user_features trains churn on what is there.
    -- In the first week there are no features.
    select
        'churn' as model_name,
        coalesce(
            max(user_features.as_of_date), max(as_of_dates.as_of_date)
        ) as scoring_date,
        concat_ws(
            ' ', 'version 3', {{ var('churn_days') }},
            string_agg(
                concat_ws(
                    ' ', user_features.as_of_date, user_features._purchases_checksum
                ),
                ',' order by user_features.as_of_date
            )
        ) as learned_from
    from as_of_dates
    full outer join user_features on true

    union all

    select
        'song_recommendations' as model_name,
        max(as_of_dates.as_of_date) as scoring_date,
        concat_ws(
            ' ', 'version 3', max(as_of_dates.as_of_date),
            max(as_of_dates._purchases_checksum),
            (
                select sum({{ row_hash(['song_key', 'artist_key', 'work_key']) }})
                from learned_works
            )
        ) as learned_from
    from as_of_dates

),

final as (

    select
        trainings.model_name,
        md5(concat_ws(' ', trainings.model_name, trainings.learned_from))
            as training_id,
        purchases.first_purchase_date,
        trainings.scoring_date - {{ 2 * as_of_date_step() }} as training_date,
        trainings.scoring_date - {{ as_of_date_step() }} as evaluation_date,
        trainings.scoring_date
    from trainings
    cross join purchases

)

select * from final
