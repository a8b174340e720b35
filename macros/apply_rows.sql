{# By its key, where the database has it: as many columns less to read. A role may see none
   of it; then as many copies of a row go as were lost of it. #}
{% macro apply_rows(table, gained, lost) -%}
    {%- set seen = table.seen.values() | join(', ') -%}
    {%- set key = proven_key(table) %}
    delete from readers.{{ table.relation }}
    where
        rowid in (
            {% if key -%}
            select held.rowid
            from readers.{{ table.relation }} as held
            inner join {{ lost }} on {{ null_safe_match(key, lost, 'held') }}
            {%- else -%}
            select found._rowid
            from (
                select
                    held.rowid as _rowid,
                    {{ lost }}._copies,
                    row_number() over (
                        partition by held.{{ table.seen | join(', held.') }}
                    ) as _copy
                from readers.{{ table.relation }} as held
                inner join
                    (
                        select {{ seen }}, count(*) as _copies
                        from {{ lost }}
                        group by all
                    ) as {{ lost }}
                    on {{ null_safe_match(table.seen, lost, 'held') }}
            ) as found
            where found._copy <= found._copies
            {%- endif %}
        );
    insert into readers.{{ table.relation }}
    select {{ seen }}
    from {{ gained }}
{%- endmacro %}
