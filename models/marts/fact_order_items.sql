{#- fact_key alone is unique; with date_key, a merge reads only files of that day. -#}
{{
    config(
        unique_key=['fact_key', 'date_key'],
        meta={'increment_column': '_batch_id'},
        partitioned_by=['year(session_start_time)', 'month(session_start_time)'],
        pre_hook="{{ delete_rejected_items() }}",
        post_hook="{{ delete_superseded_rows() }}",
    )
}}

{%- set item_columns = [
    'session_id', 'currency', 'item_number', 'price', 'price_usd', 'usd_per_unit',
    'rate_published_date', 'is_rate_provisional', 'liked', 'liked_since',
    'session_start_time', '_batch_id'
] %}
{%- set buyer_columns = [
    'user_key', 'person_key', 'device_type', 'has_known_timezone',
    'is_user_version_assumed', 'local_time'
] %}

-- The hooks read: {{ ref('int_sessions_latest') }}
with

session_items as (

    select *
    from {{ cached_view(ref('int_session_items_priced')) }}
    where rejection_reason is null and {{ is_new_batch('sessions') }}

),

buyers as (

    select *
    from {{ ref('int_session_buyers') }}

),

new_items as (

    select
        {{ surrogate_key(['session_items.session_id', 'session_items.item_number']) }}
            as fact_key,
        {{ surrogate_key(['session_items.song_id']) }} as song_key,
        case
            when session_items.artist_id is null then {{ unknown_member_key() }}
            else {{ surrogate_key(['session_items.artist_id']) }}
        end as artist_key,
        {{ date_key('session_items.session_start_time') }} as date_key,
        session_items.song_id as track_id,
        {% for column in item_columns -%}
            session_items.{{ column }},
        {% endfor -%}
        buyers.{{ buyer_columns | join(',\n        buyers.') }}
    from session_items
    -- Each batch has its own time, which is far shorter than its id.
    inner join buyers
        on
            session_items._ingested_at = buyers._ingested_at
            and session_items._position = buyers._position

),

{% if is_incremental() %}
    restated_buyers as (

        select *
        from buyers
        where not ({{ is_new_batch('sessions') }})

    ),
{% endif %}

items as (

    select * from new_items

    {% if is_incremental() %}
        union all

        -- Restated items: loaded by earlier builds, with newer data of the user.
        select
            {% for column in [
                'fact_key', 'song_key', 'artist_key', 'date_key', 'track_id'
            ] + item_columns -%}
                existing.{{ column }},
            {% endfor -%}
            restated_buyers.{{ buyer_columns | join(',\n            restated_buyers.') }}
        from {{ this }} as existing
        inner join restated_buyers on existing.session_id = restated_buyers.session_id
    {% endif %}

),

final as (

    select
        fact_key,
        song_key,
        artist_key,
        date_key,
        {{ date_key('local_time') }} as local_date_key,
        track_id,
        {{ item_columns | join(',\n        ') }},
        {{ buyer_columns | reject('equalto', 'local_time') | join(',\n        ') }},
        cast(local_time as date) as local_date,
        {{ iso_day_of_week('local_time') }} as local_day_of_week,
        cast(extract(hour from local_time) as integer) as local_hour
    from items

)

select * from final
