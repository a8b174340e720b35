{% macro delete_superseded_items() -%}
    {#- A session that was delivered again may have lost items: whatever the new version
        did not bring along stems from another batch. -#}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where
        (session_id, _batch_id) in (
            select superseded.session_id, superseded._batch_id
            from {{ this }} as superseded
            inner join {{ ref('int_sessions_latest') }} as sessions
                on superseded.session_id = sessions.session_id
            where
                superseded._batch_id <> sessions._batch_id
                and {{ is_new_batch('sessions', 'sessions._batch_id') }}
        )
    {%- endif -%}
{%- endmacro %}
