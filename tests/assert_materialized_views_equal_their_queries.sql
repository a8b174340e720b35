-- depends_on: {{ ref('sales_per_artist_mv') }}, {{ ref('sales_per_country_mv') }}
-- depends_on: {{ ref('sales_per_song_mv') }}, {{ ref('sales_per_day_mv') }}
-- depends_on: {{ ref('top_songs_per_country_mv') }}, {{ ref('buyer_cohorts_mv') }}
-- depends_on: {{ ref('int_purchases_per_day') }}, {{ ref('int_purchases_per_buyer') }}
with

differences as (

    {% set views = materialized_view_states()
        if execute and tests_all_rows() else {} %}
    {% for name, view in views.items() %}
        {% set rows = target.database ~ '.' ~ name %}
        select
            '{{ name }}' as view_name,
            count(*) as row_count
        from (
            (select * from {{ rows }} except all ({{ view.definition }}))
            union all
            (({{ view.definition }}) except all select * from {{ rows }})
        ) as differing_rows
        union all
    {% endfor %}
    select
        'none' as view_name,
        0 as row_count

)

select * from differences
where row_count > 0
