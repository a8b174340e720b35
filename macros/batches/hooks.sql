{% macro delete_reprocessed_batches(batches=none) -%}
    {#- What a table says of the batches that this build reads, or of others, is said
        anew. -#}
    {%- if execute and is_incremental() -%}
        {%- set batches = new_batches() if batches is none else batches -%}
        {%- if batches -%}
            delete from {{ this }} where {{ in_list('_batch_id', batches) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro delete_rejected_items() -%}
    {#- A pre-hook. A batch that is read again, for its exchange rates or for other rules,
        may hold items that are rejected now. -#}
    {%- if execute and is_incremental() -%}
        {%- set reread = run_query(
            'select distinct _batch_id from ' ~ this ~ ' where ' ~ is_new_batch('sessions')
        ).columns[0].values() -%}
        {%- if reread -%}
            delete from {{ this }}
            where
                (session_id, item_number, _batch_id) in (
                    -- A text with a NUL must not become a value to look for in the lake.
                    select
                        sessions.session_id,
                        items.item_number,
                        items._batch_id
                    from {{ read_once(ref('int_session_items_priced')) }} as items
                    inner join {{ ref('int_sessions_latest') }} as sessions
                        on
                            items._batch_id = sessions._batch_id
                            and items._position = sessions._position
                    where
                        items.rejection_reason is not null
                        and items._batch_id in ('{{ reread | join("', '") }}')
                )
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro delete_superseded_items() -%}
    {#- A session that was delivered again may have lost items, or have another time: then
        its items of an earlier delivery have another batch or time than the session. -#}
    {%- if is_incremental() -%}
    {%- set batches = redelivered_batches() -%}
    delete from {{ this }} as held
    where
        {{ in_list('held._batch_id', batches) }}
        and not exists (
            select *
            from {{ ref('int_sessions_latest') }} as sessions
            where
                {{ in_list('sessions._batch_id', batches) }}
                and sessions.session_id = held.session_id
                and sessions._batch_id = held._batch_id
                and sessions.session_start_time = held.session_start_time
        )
    {%- endif -%}
{%- endmacro %}
