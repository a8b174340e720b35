{% macro live_view(relation, traced, state, changes) -%}
    {#- The statement that makes the live variant of a materialized view: its rows, with
        what has changed in its tables since the refresh added as they are read. Of a
        query that is not additive in all that it reads, or whose sums may be null, it is
        the query itself. -#}
    {%- set live = relation.incorporate(
        path={'identifier': relation.identifier ~ '_live'}, type='view'
    ) -%}
    {%- set query = traced.query -%}
    create or replace view {{ live }} as
    {% if not state.is_additive or traced.bases | rejectattr('is_linear') | list
        or nullable_sums(query) -%}
        {{ state.definition }}
    {%- else -%}
        {%- set since = changes.snapshot_id -%}
        {#- When this transaction began, which ends with the first commit to look at. Of a
            file that was merged the feed names wrong snapshots. -#}
        {%- set read_at = run_query('select now()').columns[0][0] -%}
        {%- set feeds = {} -%}
        {%- set ids = [] -%}
        with
        {%- for base in traced.bases %}
            {%- set number = loop.index -%}
            {%- do ids.append("'" ~ base.id ~ "'") -%}
            {%- do feeds.update({base.name: [
                'gained_' ~ number, 'lost_' ~ number
            ]}) -%}
            {%- for rows, kind in [('gained', 'insert|update_postimage'),
                ('lost', 'delete|update_preimage')] %}
            {{ rows }}_{{ number }} as (
                select * exclude (snapshot_id, rowid, change_type)
                from ducklake_table_changes(
                    '{{ base.name.split('.') | join("', '") }}',
                    timestamptz '{{ read_at }}', now()
                )
                where regexp_full_match(change_type, '{{ kind }}')
                -- Of a file that one commit first loses rows of and then drops, DuckLake
                -- says those rows twice.
                qualify row_number() over (partition by snapshot_id, rowid) = 1
            ),
            {%- endfor %}
        {%- endfor %}
        {{ live_groups(relation, traced, feeds, ids, since) }}
    {%- endif -%}
{%- endmacro %}
