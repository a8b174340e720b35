{% macro delete_superseded_items() -%}
    {#- A session that was delivered again may have lost items: whatever the new version
        did not bring along stems from another batch. -#}
    {%- if is_incremental() -%}
    delete from {{ this }} as held
    using
        (
            select
                session_id,
                _batch_id
            from {{ ref('int_sessions_latest') }}
            where {{ is_new_batch('sessions') }}
        ) as sessions
    where
        held.session_id = sessions.session_id
        and held._batch_id <> sessions._batch_id
    {%- endif -%}
{%- endmacro %}
