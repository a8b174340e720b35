{% macro lake_version() -%}
    {#- A SQL expression, a text: the lake's newest snapshot, of this lake alone. -#}
    (
        select concat(max(snapshot_id), ' ', max(snapshot_time))
        from __ducklake_metadata_{{ target.database }}.ducklake_snapshot
    )
{%- endmacro %}
