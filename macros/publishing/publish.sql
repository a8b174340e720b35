{% macro publish(results) -%}
    {#- Runs at the end of each dbt command, also after failures. Publishes only after a
        whole build in which everything passed. -#}
    {%- if execute and flags.WHICH in ['run', 'seed', 'snapshot'] -%}
        {%- do log('Not published: only `dbt build` publishes.', info=True) -%}
    {%- elif execute and flags.WHICH == 'build' -%}
        {%- set passed = [] -%}
        {%- set failed = [] -%}
        {%- set tests = {'pass': 0, 'warn': 0} -%}
        {%- for result in results -%}
            {%- set status = result.status | string -%}
            {%- if status in ['success', 'pass', 'warn', 'no-op'] -%}
                {%- do passed.append(result.node.unique_id) -%}
            {%- else -%}
                {%- do failed.append(result.node.name) -%}
            {%- endif -%}
            {%- if status in tests -%}
                {%- do tests.update({status: tests[status] + 1}) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set unselected = graph.nodes.values()
            | selectattr('resource_type', 'in', ['model', 'seed', 'snapshot', 'test'])
            | selectattr('config.enabled')
            | rejectattr('config.materialized', 'equalto', 'ephemeral')
            | rejectattr('unique_id', 'in', passed)
            | rejectattr('unique_id', 'in', nodes_left_out()) | list -%}
        {%- if failed -%}
            {%- do log(
                'Not published: ' ~ failed | length ~ ' nodes failed or were skipped. '
                ~ 'What was published before stays.', info=True
            ) -%}
        {%- elif unselected -%}
            {%- do log(
                'Not published: only a part was built. `dbt build` publishes.',
                info=True
            ) -%}
        {%- else -%}
            {%- do publish_lake(tests['pass'], tests['warn']) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro nodes_left_out() -%}
    {#- The nodes that a build leaves out and still publishes. With the selector `live`:
        those with the tag whole_builds. On target spark_serving: what it imports or does
        not have. In both cases also the tests that read what is missing. -#}
    {%- set missing = [] -%}
    {%- set ids = [] -%}
    {%- if target.name == 'spark_serving' -%}
        {%- do ids.extend(imported_nodes() | map(attribute='unique_id')) -%}
        {%- do missing.extend(graph.sources.keys()) -%}
    {%- endif -%}
    {%- for id, node in graph.nodes.items() -%}
        {%- if target.name == 'spark_serving' and node.config.meta.is_served is false
            or invocation_args_dict.get('selector') == 'live'
            and 'whole_builds' in node.tags -%}
            {%- do missing.append(id) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for id, node in graph.nodes.items() if node.resource_type == 'test'
        and node.depends_on.nodes | select('in', missing) | list -%}
        {%- do ids.append(id) -%}
    {%- endfor -%}
    {{ return(missing + ids) }}
{%- endmacro %}

{% macro publish_lake(passed, warned) -%}
    {#- Publishes the models of the published schemas, unless their current state is
        already published. -#}
    {{ return(adapter.dispatch('publish_lake')(passed, warned)) }}
{%- endmacro %}

{% macro duckdb__publish_lake(passed, warned) -%}
    {%- do run_query('select hold_lock()') -%}
    {%- do run_query('select settle_publishing()') -%}
    {%- set models = published_models() -%}
    {%- set databases = role_databases(target.database, models) -%}
    {%- set definition = published_definition(databases) -%}
    {%- set current = run_query('select kept_publications()[1]').columns[0][0] -%}
    {%- set damage = publication_damage(current) -%}
    {%- set published = published_snapshot(current, definition) -%}
    {%- if published and not damage and is_published(published.snapshot_id, models) -%}
        {%- do log(
            'Nothing new to publish. What was published before stays.', info=True
        ) -%}
    {%- else -%}
        {%- if damage -%}
            {%- do log('Publishing again: ' ~ damage ~ '.', info=True) -%}
        {%- endif -%}
        {%- do rewrite_files_with_deletes() -%}
        {%- set reusable = run_query('select reusable_publication()').columns[0][0] -%}
        {%- set bases = [published_snapshot(reusable, definition), published] -%}
        {%- set id = next_publication() -%}
        {%- set folder = run_query(
            "select start_publishing('" ~ id ~ "', '')"
        ).columns[0][0] -%}
        {%- do record_publication(
            id, false,
            "(select id from ducklake_current_snapshot('" ~ target.database ~ "'))",
            passed, warned, definition
        ) -%}
        {%- do snapshot_catalog(folder ~ '/deftunes.ducklake', models) -%}
        {%- do attach_snapshot(folder) -%}
        {%- do publish_files(
            folder, databases, id, publication_changes(bases, models)
        ) -%}
    {%- endif -%}
{%- endmacro %}

{% macro publish_files(folder, databases, publication_id, changes={}) -%}
    {#- Writes the databases from the catalogue in the folder, or updates copies of the
        databases of an earlier publication. Then the whole folder replaces what was
        published, in one step. -#}
    {%- for name, tables in databases -%}
        {%- set is_started = changes.base and run_query(
            "select start_database('" ~ name ~ "', '" ~ changes.base ~ "')"
        ).columns[0][0] -%}
        {%- do run_query("attach '" ~ folder ~ '/' ~ name ~ "' as readers; begin") -%}
        {%- set names_by_result = {'unchanged': [], 'updated': [], 'rewritten': []} -%}
        {%- for table in tables -%}
            {%- set rows = changes.rows.get(table.name) if is_started else none -%}
            {%- do names_by_result[_publish_table(table, rows)].append(table.name) -%}
        {%- endfor -%}
        {%- do run_query('commit; detach readers') -%}
        {#- The role files are filled from deftunes.duckdb: it has the rows of the
            views, which are then not computed again. -#}
        {%- if name == 'deftunes.duckdb' -%}
            {%- do run_query(
                "detach published; attach '" ~ folder ~ '/' ~ name
                ~ "' as published (read_only)"
            ) -%}
        {%- endif -%}
        {%- for result, names in names_by_result.items() if names -%}
            {%- do log(name ~ ', ' ~ result ~ ': ' ~ names | join(', ')) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query('detach published') -%}
    {#- Fails if the lock was lost, so that another run may have published. -#}
    {%- do run_query('select hold_lock()') -%}
    {%- do log('Published ' ~ run_query(
        "select finish_publishing('" ~ publication_id ~ "')"
    ).columns[0][0], info=True) -%}
{%- endmacro %}

{% macro _publish_table(table, rows) -%}
    {#- Writes a table and returns what was done. A table with hidden small groups is
        always rewritten, because one more row may show or hide other groups. A table is
        also rewritten if its row count is wrong after an update. -#}
    {%- set rows = none if table.groups and rows else rows -%}
    {%- if rows -%}
        {%- do run_query(sync_rows(table, *rows)) -%}
    {%- endif -%}
    {%- if rows is none or run_query(
        'select (select count(*) from readers.' ~ table.relation
        ~ ') <> (select count(*) from '
        ~ (table.groups or 'published.' ~ table.relation) ~ ')'
    ).columns[0][0] -%}
        {%- do run_query(table.statements | join(';\n')) -%}
        {{ return('rewritten') }}
    {%- endif -%}
    {{ return('updated' if rows else 'unchanged') }}
{%- endmacro %}

{% macro record_publication(id, is_rollback, snapshot_id, passed, warned, definition) -%}
    {#- Inserts the row of a publication, in a commit whose message names the
        publication. This happens before the files are written, so that they contain the
        row. Rows of publications that were interrupted before readers saw them are
        deleted. -#}
    {%- set publications = target.database ~ '.quality.publications' -%}
    {%- do run_query(
        'begin; call ' ~ target.database ~ ".set_commit_message('dbt', 'Publication "
        ~ id ~ "'); delete from " ~ publications
        ~ ' where list_contains(unfinished_publications(), publication_id)'
        ~ ' and publication_id <> kept_publications()[1]; insert into '
        ~ publications ~ " by name select '" ~ id ~ "' as publication_id, "
        ~ is_rollback ~ " as is_rollback, '" ~ invocation_id ~ "' as invocation_id, '"
        ~ definition ~ "' as definition_version, " ~ snapshot_id ~ ' as snapshot_id, '
        ~ passed ~ ' as passed_count, ' ~ warned ~ ' as warned_count, '
        ~ "now() at time zone 'UTC' as published_at; commit"
    ) -%}
{%- endmacro %}
