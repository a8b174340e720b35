{% macro delete_superseded_items() -%}
    {#- A session that was delivered again may have lost items, or tell another time:
        whatever the new version did not bring along stems from another batch or time. -#}
    {%- if is_incremental() -%}
    delete from {{ this }} as held
    using
        (
            select
                session_id,
                session_start_time,
                _batch_id
            from {{ ref('int_sessions_latest') }}
            where {{ is_new_batch('sessions') }}
        ) as sessions
    where
        {{ is_one_of('held._batch_id', batches_delivered_again()) }}
        and held.session_id = sessions.session_id
        and (
            held._batch_id <> sessions._batch_id
            or held.session_start_time <> sessions.session_start_time
        )
    {%- endif -%}
{%- endmacro %}
