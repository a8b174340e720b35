{{
    config(
        unique_key='publication_id',
        full_refresh=false,
        on_schema_change='append_new_columns',
    )
}}

-- Creates the table. The macro record_publication inserts the rows.
{% set text = dbt.type_string() %}
with

final as (

    select
        cast(null as {{ text }}) as publication_id,
        cast(null as {{ text }}) as invocation_id,
        cast(null as {{ text }}) as definition_version,
        cast(null as bigint) as snapshot_id,
        cast(null as bigint) as passed_count,
        cast(null as bigint) as warned_count,
        cast(null as boolean) as is_rollback,
        cast(null as timestamp) as published_at
    where false

)

select * from final
