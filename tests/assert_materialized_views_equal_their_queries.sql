-- depends_on: {{ ref('sales_per_artist_mv') }}, {{ ref('sales_per_country_mv') }}
-- depends_on: {{ ref('sales_per_song_mv') }}, {{ ref('sales_per_day_mv') }}
-- depends_on: {{ ref('top_songs_per_country_mv') }}, {{ ref('buyer_cohorts_mv') }}
-- depends_on: {{ ref('int_purchases_per_day') }}, {{ ref('int_purchases_per_buyer') }}
with

differences as (

    {% for view in (materialized_view_queries() if tests_whole_history() else []) %}
        select
            '{{ view.name }}' as view_name,
            count(*) as row_count
        from (
            (select * from {{ view.relation }} except all ({{ view.query }}))
            union all
            (({{ view.query }}) except all select * from {{ view.relation }})
        ) as differing_rows
        union all
    {% endfor %}
    select
        'none' as view_name,
        0 as row_count

)

select * from differences
where row_count > 0
