-- How old is what readers see? The query fails if it is older than `fresh_hours`.
with

publications as (

    select
        max(published_at) as published_at,
        cast({{ dbt.current_timestamp() }} as timestamp) as checked_at
    from {{ ref('publications') }}
    where not is_rollback

),

landed_days as (

    select max(date) as last_whole_day
    from {{ ref('landed_days') }}

),

ages as (

    select
        publications.published_at,
        landed_days.last_whole_day,
        {{ dbt.datediff('published_at', 'checked_at', 'hour') }}
            as hours_since_publication,
        {{ dbt.datediff('last_whole_day', 'checked_at', 'day') }}
            as days_since_last_whole_day
    from publications
    cross join landed_days

),

final as (

    select
        published_at,
        last_whole_day,
        hours_since_publication,
        days_since_last_whole_day,
        case
            when
                coalesce(hours_since_publication, 1e9) > {{ var('fresh_hours') }}
                or coalesce(days_since_last_whole_day, 1e9) * 24
                > {{ var('fresh_hours') }} + 24
                then error(
                    'Late: last published at '
                    || coalesce(cast(published_at as varchar), 'no time')
                    || ', last whole day of sessions '
                    || coalesce(cast(last_whole_day as varchar), 'none')
                )
            else true
        end as is_fresh
    from ages

)

select * from final
