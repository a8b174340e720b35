{{
    config(
        materialized='view',
        schema='operations',
        meta={'is_served': false},
        pre_hook='{{ create_materialized_view_registry() }}',
    )
}}

with

views as (

    select
        schema_name,
        view_name,
        method,
        reason,
        row_count,
        seconds,
        refreshed_at
    from {{ materialized_views() }}

),

changes as (

    select
        schema_name,
        view_name,
        commit_count,
        first_commit_at
    from {{ refresh_lag() }}

),

final as (

    select
        views.schema_name,
        views.view_name,
        views.method,
        views.reason,
        views.row_count,
        coalesce(changes.commit_count, 0) as unapplied_commit_count,
        views.seconds,
        views.refreshed_at,
        changes.first_commit_at as behind_since_at
    from views
    left join changes
        on
            views.schema_name = changes.schema_name
            and views.view_name = changes.view_name

)

select * from final
