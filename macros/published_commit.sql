{% macro published_commit() -%}
    {#- The id of the commit that is named after what is published; none where nothing
        is, or a publication was begun and did not end. -#}
    {%- for publication in remembered(
        'select kept_publications()[1] where unfinished_publications() = []'
    ) -%}
        {%- for commit in remembered(
            'select snapshot_id from __ducklake_metadata_' ~ target.database
            ~ ".ducklake_snapshot_changes where commit_message = 'Publication "
            ~ publication[0] ~ "'"
        ) -%}
            {{ return(commit[0] | int) }}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(none) }}
{%- endmacro %}
