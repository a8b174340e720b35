{% macro delete_reprocessed_batches(batches=none) -%}
    {#- A pre-hook: deletes the rows of the batches that this build reads, or of others,
        because the model inserts them again. -#}
    {%- if execute and is_incremental() -%}
        {%- set batches = new_batches() if batches is none else batches -%}
        {%- if batches -%}
            delete from {{ this }} where {{ in_list('_batch_id', batches) }}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro delete_rejected_items() -%}
    {#- A pre-hook: deletes items that an earlier build loaded and that are rejected
        now. That happens if rules or exchange rates have changed and a batch is read
        again. -#}
    {%- if execute and is_incremental() -%}
        {%- set reprocessed = run_query(
            'select distinct _batch_id from ' ~ this ~ ' where ' ~ is_new_batch('sessions')
        ).columns[0].values() -%}
        {%- if reprocessed -%}
            delete from {{ this }}
            where
                (session_id, item_number, _batch_id) in (
                    -- The ids come from sessions: an id of an item may contain a NUL
                    -- byte, and DuckLake cannot prune files by such a value.
                    select
                        sessions.session_id,
                        items.item_number,
                        items._batch_id
                    from {{ cached_view(ref('int_session_items_priced')) }} as items
                    inner join {{ ref('int_sessions_latest') }} as sessions
                        on
                            items._batch_id = sessions._batch_id
                            and items._position = sessions._position
                    where
                        items.rejection_reason is not null
                        and items._batch_id in ('{{ reprocessed | join("', '") }}')
                )
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro delete_superseded_rows() -%}
    {#- A post-hook: deletes rows of superseded deliveries. The latest delivery of a
        session may have fewer items or another start time; the rows of an earlier
        delivery then differ from the session in batch or time. -#}
    {%- if is_incremental() -%}
    {%- set batches = redelivered_batches() -%}
    delete from {{ this }} as loaded_rows
    where
        {{ in_list('loaded_rows._batch_id', batches) }}
        and not exists (
            select *
            from {{ ref('int_sessions_latest') }} as sessions
            where
                {{ in_list('sessions._batch_id', batches) }}
                and sessions.session_id = loaded_rows.session_id
                and sessions._batch_id = loaded_rows._batch_id
                and sessions.session_start_time = loaded_rows.session_start_time
        )
    {%- endif -%}
{%- endmacro %}
