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
    from {{ read_once(ref('stg_api__users')) }}
    where rejection_reason is null and {{ is_new_batch('users') }}

),

{% if is_incremental() %}
    current_from as (

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
                known.{{ attribute }},
            {% endfor -%}
            known.valid_from,
            known._version_hash,
            known._batch_id
        from {{ this }} as known
        inner join current_from
            on
                known.user_id = current_from.user_id
                and known.valid_from = current_from.valid_from
    {% endif %}

),

compared as (

    select
        *,
        lag(_version_hash) over (
            partition by user_id order by _batch_id
        ) as previous_hash
    from observations

),

changes as (

    select
        *,
        row_number() over (partition by user_id order by _batch_id) as version_number
    from compared
    where _version_hash is distinct from previous_hash

),

-- Nobody knows since when the first version held, so it holds from the beginning.
dated as (

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
    from changes

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
    from dated

)

select * from final
