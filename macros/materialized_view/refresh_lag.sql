{% macro refresh_lag() -%}
    {{ return(adapter.dispatch('refresh_lag')()) }}
{%- endmacro %}

{% macro duckdb__refresh_lag() -%}
    (
        select
            views.schema_name,
            views.view_name,
            count(snapshots.snapshot_id) as commit_count,
            cast(min(snapshots.snapshot_time) as timestamp) as first_commit_at
        from {{ materialized_views() }} as views
        cross join ducklake_snapshots('{{ target.database }}') as snapshots
        where
            snapshots.snapshot_id > views.snapshot_id
            and list_has_any(
                list_transform(views.base_tables, lambda base: cast(base.id as varchar)),
                flatten(map_values(map_from_entries(list_filter(
                    map_entries(snapshots.changes),
                    lambda entry: not contains(entry.key, 'created')
                    and not list_contains(['merge_adjacent', 'rewrite_delete'], entry.key)
                ))))
            )
        group by views.schema_name, views.view_name
    )
{%- endmacro %}
