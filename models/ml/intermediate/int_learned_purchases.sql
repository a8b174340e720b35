with

trainings as (

    select
        evaluation_date,
        scoring_date
    from {{ ref('int_trainings') }}
    where model_name = 'song_recommendations'

),

past_purchases as (

    select
        purchased_works.*,
        trainings.evaluation_date
    from {{ ref('int_purchased_works') }} as purchased_works
    inner join trainings
        on purchased_works.session_start_time < trainings.scoring_date

),

-- The first buyers by a hash are a sample that is the same in each run.
sampled_buyers as (

    select
        person_key,
        row_number() over (order by hash(person_key), person_key) - 1 as buyer_index
    from past_purchases
    group by person_key
    qualify buyer_index < 100000

),

owned_works as (

    select
        sampled_buyers.buyer_index,
        past_purchases.work_key,
        min(past_purchases.song_key) as song_key,
        min(past_purchases.artist_key) as artist_key,
        min(past_purchases.session_start_time)
        >= any_value(past_purchases.evaluation_date) as is_later
    from past_purchases
    inner join sampled_buyers on past_purchases.person_key = sampled_buyers.person_key
    group by sampled_buyers.buyer_index, past_purchases.work_key

),

most_bought_works as (

    select
        work_key,
        min(song_key) as song_key,
        min(artist_key) as artist_key
    from owned_works
    group by work_key
    qualify row_number() over (order by count(*) desc, work_key) <= 50000

),

-- Of songs with the same score the first is recommended. So they are numbered by a
-- hash: how many bought them would tell what is bought later.
learned_works as (

    select
        *,
        row_number() over (order by work_key) - 1 as song_index
    from most_bought_works

),

artists as (

    select
        artist_key,
        row_number() over (order by artist_key) - 1 as artist_index
    from learned_works
    where artist_key is not null
    group by artist_key

),

final as (

    select
        owned_works.buyer_index,
        learned_works.song_index,
        learned_works.song_key,
        artists.artist_index,
        artists.artist_key,
        owned_works.is_later
    from owned_works
    inner join learned_works on owned_works.work_key = learned_works.work_key
    left join artists on learned_works.artist_key = artists.artist_key

)

select * from final
