{{
    config(
        unique_key=['user_id', 'valid_from'],
        pre_hook='{{ delete_reprocessed_batches() }}',
    )
}}

{%- set attributes = [
    'user_id', 'user_name', 'user_lastname', 'place_name', 'country_code', 'timezone',
    'latitude', 'longitude', 'user_since'
] %}

with

users as (

    select
        {% for attribute in attributes -%}
            {{ attribute }},
        {% endfor -%}
        cast(null as timestamp) as valid_from,
        _version_hash,
        _batch_id
    from {{ cached_view(ref('stg_api__users')) }}
    where rejection_reason is null and {{ is_new_batch('users') }}

),

{% if is_incremental() %}
    current_versions as (

        select
            user_id,
            max(valid_from) as valid_from
        from {{ this }}
        where user_id in (select users.user_id from users)
        group by user_id

    ),
{% endif %}

observations as (

    select * from users
    {% if is_incremental() %}
        union all
        select
            {% for attribute in attributes -%}
                versions.{{ attribute }},
            {% endfor -%}
            versions.valid_from,
            versions._version_hash,
            versions._batch_id
        from {{ this }} as versions
        inner join current_versions
            on
                versions.user_id = current_versions.user_id
                and versions.valid_from = current_versions.valid_from
    {% endif %}

),

observations_with_previous_hash as (

    select
        *,
        lag(_version_hash) over (
            partition by user_id order by _batch_id
        ) as previous_hash
    from observations

),

numbered_versions as (

    select
        *,
        row_number() over (partition by user_id order by _batch_id) as version_number
    from observations_with_previous_hash
    where _version_hash is distinct from previous_hash

),

-- The start of the first version is unknown, so it is valid from the beginning of time.
dated_versions as (

    select
        *,
        coalesce(
            valid_from,
            case
                when version_number = 1
                    then cast('{{ var("beginning_of_time") }}' as timestamp)
            end,
            {{ batch_ingested_at('_batch_id') }}
        ) as version_from
    from numbered_versions

),

final as (

    select
        {% for attribute in attributes -%}
            {{ attribute }},
        {% endfor -%}
        version_from as valid_from,
        lead(version_from) over (partition by user_id order by version_from)
            as valid_to,
        _version_hash,
        _batch_id
    from dated_versions

)

select * from final
