{% macro publish(results) -%}
    {#- Runs at the end of every dbt command, after failures too. Only a whole build in
        which everything passed is published. -#}
    {%- if execute and flags.WHICH == 'build' -%}
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
        {%- set left_out = graph.nodes.values()
            | selectattr('resource_type', 'in', ['model', 'seed', 'snapshot', 'test'])
            | selectattr('config.enabled')
            | rejectattr('config.materialized', 'equalto', 'ephemeral')
            | rejectattr('unique_id', 'in', passed) | list -%}
        {%- if failed -%}
            {%- do log(
                'Not published: ' ~ failed | length ~ ' nodes failed or were skipped. '
                ~ 'What was published before stays.', info=True
            ) -%}
        {%- elif left_out -%}
            {%- do log(
                'Not published: only a part was built. `dbt build` publishes.',
                info=True
            ) -%}
        {%- else -%}
            {%- do publish_lake(tests['pass'], tests['warn']) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro publish_lake(passed, warned) -%}
    {#- Publishes the models of the published schemas, unless they are published as they
        are. -#}
    {%- do run_query('select settle_publishing()') -%}
    {%- set models = published_models() -%}
    {%- set databases = role_databases(target.database, models) -%}
    {%- set definition = published_definition(databases) -%}
    {%- set current = run_query('select kept_publications()[1]').columns[0][0] -%}
    {%- set damage = publication_damage(current) -%}
    {%- set held = published_snapshot(current, definition) -%}
    {%- if held and not damage and is_published(held.snapshot_id, models) -%}
        {%- do log(
            'Nothing new to publish. What was published before stays.', info=True
        ) -%}
    {%- else -%}
        {%- if damage -%}
            {%- do log('Publishing again: ' ~ damage ~ '.', info=True) -%}
        {%- endif -%}
        {%- do rewrite_files_with_deletes() -%}
        {%- set reusable = run_query('select reusable_publication()').columns[0][0] -%}
        {%- set bases = [published_snapshot(reusable, definition), held] -%}
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
    {#- Writes the databases from the catalogue in the folder, or brings those of an
        earlier publication up to date, then puts them and it in the place of what was
        published, all at once. -#}
    {%- for name, tables in databases -%}
        {%- set is_started = changes.base and run_query(
            "select start_database('" ~ name ~ "', '" ~ changes.base ~ "')"
        ).columns[0][0] -%}
        {%- do run_query("attach '" ~ folder ~ '/' ~ name ~ "' as readers; begin") -%}
        {%- set done = {'left': [], 'brought up to date': [], 'written anew': []} -%}
        {%- for table in tables -%}
            {%- set rows = changes.rows.get(table.name) if is_started else none -%}
            {%- do done[_publish_table(table, rows)].append(table.name) -%}
        {%- endfor -%}
        {%- do run_query('commit; detach readers') -%}
        {#- It holds everything, and the rows of the views: nobody computes them twice. -#}
        {%- if name == 'deftunes.duckdb' -%}
            {%- do run_query(
                "detach published; attach '" ~ folder ~ '/' ~ name
                ~ "' as published (read_only)"
            ) -%}
        {%- endif -%}
        {%- for what, names in done.items() if names -%}
            {%- do log(name ~ ', ' ~ what ~ ': ' ~ names | join(', ')) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- do run_query('detach published') -%}
    {%- do log('Published ' ~ run_query(
        "select finish_publishing('" ~ publication_id ~ "')"
    ).columns[0][0], info=True) -%}
{%- endmacro %}

{% macro _publish_table(table, rows) -%}
    {#- A copy whose rows do not add up in the end is not trusted. One row more may show or
        hide other groups. -#}
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
        {{ return('written anew') }}
    {%- endif -%}
    {{ return('brought up to date' if rows else 'left') }}
{%- endmacro %}

{% macro record_publication(id, is_rollback, snapshot_id, passed, warned, definition) -%}
    {#- The row is a commit of its own, named after the publication. It is written before
        the files, so that they hold it; rows of publications that were interrupted
        before readers saw them go. -#}
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
