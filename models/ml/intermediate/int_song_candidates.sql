{{ config(materialized='incremental', incremental_strategy='delete+insert') }}

with

rankings as (

    select * from {{ ref('int_song_rankings') }}

),

users as (

    select
        rankings.person_key,
        rankings.country_code,
        rankings.training_id,
        rankings._profile_checksum
    from rankings
    {%- if is_incremental() %}
    anti join {{ this }} as candidates
        on
            rankings.person_key = candidates.person_key
            and rankings.training_id = candidates.training_id
            and rankings._profile_checksum = candidates._profile_checksum
    {%- endif %}
    where rankings.song_rank = 1

),

owned_works as (

    select distinct
        users.person_key,
        purchases.work_key
    from {{ ref('int_purchased_works') }} as purchases
    inner join users on purchases.person_key = users.person_key

),

-- Users with fewer than ten ranked works. At least ten of the first best_seller_count
-- best-sellers are not owned by them.
short_users as (

    select
        users.person_key,
        users.country_code,
        10 + count(owned_works.work_key) as best_seller_count
    from users
    left join owned_works on users.person_key = owned_works.person_key
    anti join rankings
        on users.person_key = rankings.person_key and rankings.song_rank = 10
    group by users.person_key, users.country_code

),

candidates as (

    select
        rankings.person_key,
        rankings.work_key,
        rankings.reason_item_key,
        rankings.song_rank as place,
        rankings.score,
        null as country_name
    from rankings
    inner join users on rankings.person_key = users.person_key
    where rankings.work_key is not null

    union all

    select
        short_users.person_key,
        best_sellers.work_key,
        null as reason_item_key,
        best_sellers.sales_rank + 10 as place,
        null as score,
        best_sellers.country_name
    from short_users
    inner join {{ ref('int_best_sellers') }} as best_sellers
        on short_users.country_code = best_sellers.country_code

    union all

    select
        short_users.person_key,
        best_sellers.work_key,
        null as reason_item_key,
        best_sellers.sales_rank + 1000 as place,
        null as score,
        null as country_name
    from short_users
    inner join {{ ref('int_best_sellers') }} as best_sellers
        on
            best_sellers.country_code is null
            and short_users.best_seller_count >= best_sellers.sales_rank

),

final as (

    select
        candidates.*,
        users.training_id,
        users._profile_checksum
    from candidates
    inner join users on candidates.person_key = users.person_key
    anti join owned_works
        on
            candidates.person_key = owned_works.person_key
            and candidates.work_key = owned_works.work_key
    -- A work that is a candidate twice keeps its first place.
    qualify
        row_number() over (
            partition by candidates.person_key, candidates.work_key
            order by candidates.place
        ) = 1

)

select * from final
