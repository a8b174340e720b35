{% macro delete_superseded_items() -%}
    {#- A session that was delivered again may have lost items, or have another time: then
        its items of an earlier delivery have another batch or time than the session. -#}
    {%- if is_incremental() -%}
    {%- set batches = batches_delivered_again() -%}
    delete from {{ this }} as held
    where
        {{ is_one_of('held._batch_id', batches) }}
        and not exists (
            select *
            from {{ ref('int_sessions_latest') }} as sessions
            where
                {{ is_one_of('sessions._batch_id', batches) }}
                and sessions.session_id = held.session_id
                and sessions._batch_id = held._batch_id
                and sessions.session_start_time = held.session_start_time
        )
    {%- endif -%}
{%- endmacro %}
