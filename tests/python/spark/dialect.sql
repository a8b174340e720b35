-- What the macros of macros/dialect give for texts at the edges of their rules: a row
-- per value, as text. Both engines have to give the same rows.
{%- set text = dbt.type_string() -%}
{%- set rows = [] -%}
{%- for moment in [
    '2024-01-01', '2024-01', '2024-1-1', '2024-01-01 10', '2024-01-01 10:00',
    '2024-01-01T10:00', '2024-01-01T10:00:00Z', '2024-01-01 25:00', '2024-02-30',
    '2024-01-01T10:00:00+02:00', '2024-01-01T10:00:00+0530', '2024-01-01T10:00:00-03',
    '2024-01-01T10:00:00.123456789', '2024-01-01T10:00:00.1Z', '2024-01-01T24:00:00',
    '2024-12-31T24:00:00+01:00', '2024-01-01T24:00:01', '2024-01-01T23:59:60Z',
    '0000-01-01', '0001-01-01', '0001-01-01T00:00:00+01:00', '10000-01-01', 'epoch',
    '2024-01-01T10:00:00 Europe/Paris', '2024-01-01T10:00:00Europe/Paris',
    ' 2024-01-01 ', '2024-01-01T10:00:00+14:59', '2024-01-01T10:00:00+15:00', '',
] -%}
    {%- do rows.append((
        'time ' ~ moment, parse_utc_timestamp("'" ~ moment ~ "'")
    )) -%}
{%- endfor -%}
{%- for zone in [
    'Europe/Berlin', 'Asia/Kathmandu', 'America/New_York', 'Nowhere/Land', 'EST5EDT',
    'europe/berlin', '', 'Etc/GMT+5', 'Antarctica/Troll',
] -%}
    {%- for moment in ['2024-03-31 00:59:59', '2024-03-31 01:00:00.5', '1900-01-01'] -%}
        {%- do rows.append((zone ~ ' ' ~ moment, to_local_time(
            "cast('" ~ moment ~ "' as timestamp)", "cast('" ~ zone ~ "' as " ~ text ~ ")"
        ))) -%}
    {%- endfor -%}
{%- endfor -%}
{%- for json in [
    '{"price":"1.23"}', '{"price":1.23}', '{"price":5}', '{"price":-0.0}',
    '{"price":1e400}', '{"price":null}', '{}', 'not json', '{"price":{"a":1}}', '[1]',
    '{"price":123456789012}', '{"price":true}', '{"price":""}', '',
] -%}
    {%- set number = json_number("'" ~ json ~ "'", 'price') -%}
    {%- do rows.append(('number ' ~ json,
        'case when (' ~ number ~ ") > cast('Infinity' as double) then 'NaN' when ("
        ~ number ~ ") = cast('Infinity' as double) then 'Infinity' else cast(cast(("
        ~ number ~ ') as decimal(38, 4)) as ' ~ text ~ ') end'
    )) -%}
{%- endfor -%}
{%- for price, rate in [
    ('0.005', '0.1'), ('90001', '0.5'), ('0.0001', '0.005'), ('1.9999', '1999.999999999999'),
    ('99999999999999.9999', '999999.999999999999'), ('-1.0005', '0.0005'), ('0', '1'),
    ('123.4567', '0.000000499999'),
] -%}
    {%- do rows.append(('usd ' ~ price ~ ' ' ~ rate, to_usd(
        "cast('" ~ price ~ "' as decimal(18, 4))", "cast('" ~ rate ~ "' as decimal(18, 12))"
    ))) -%}
{%- endfor -%}
{%- for pair in [('1.2345', '1.2027'), ('0.00012', '7'), ('1', '3'), ('1.2986', '1.2652')] -%}
    {%- do rows.append(('rate ' ~ pair, round_rate(
        "cast('" ~ pair[0] ~ "' as double) / cast('" ~ pair[1] ~ "' as double)"
    ))) -%}
{%- endfor -%}
{%- for columns in [
    ["'ab'", "'c'"], ["'a'", "'bc'"], ['null', "'x'"], ["'é'", "'ß'"], ["''", "''"],
    ["'one'"], ['12', "cast('2024-01-01 10:00:00.120000' as timestamp)"],
    ["cast('1.50' as decimal(18, 4))", 'true'], ["cast('2024-01-01' as date)", "'😀'"],
] -%}
    {%- do rows.append((
        'key ' ~ columns | join(' ') | replace("'", ''),
        "replace(cast(" ~ surrogate_key(columns) ~ ' as ' ~ text ~ "), '-', '')"
    )) -%}
{%- endfor -%}
{%- for date in ['2024-02-29', '1999-12-31', '2024-12-30', '1899-12-31'] -%}
    {%- set day = "cast('" ~ date ~ "' as date)" -%}
    {%- do rows.extend([
        ('date_key ' ~ date, date_key(day)),
        ('iso_day_of_week ' ~ date, iso_day_of_week(day)),
        ('month after ' ~ date, 'cast(' ~ dbt.dateadd('month', 1, day) ~ ' as date)'),
        ('day before ' ~ date, 'cast(' ~ dbt.dateadd('day', -1, day) ~ ' as date)'),
        ('last of month ' ~ date, dbt.last_day(day, 'month')),
        ('last of year ' ~ date, dbt.last_day(day, 'year')),
        ('week ' ~ date, 'cast(' ~ dbt.date_trunc('week', day) ~ ' as date)'),
        ('days ' ~ date, dbt.datediff(day, "cast('2024-03-01' as date)", 'day')),
        ('months ' ~ date, dbt.datediff(day, "cast('2024-03-01' as date)", 'month')),
    ]) -%}
{%- endfor -%}
{%- do rows.extend([
    ('batch', batch_ingested_at("'20260101T235959000001Z_2025-12-31_0a'")),
    ('array', to_json_string(text_array(["'b'", "'a\"b'", 'null', "'é'"]))),
    ('size', array_size(text_array(["'b'"]))),
    ('element', array_element(text_array(["'b'"]), 2)),
    ('part', dbt.split_part("'a_b.c'", "'_'", 2)),
    ('safe_cast', dbt.safe_cast("'1x'", 'integer')),
]) %}

{% for name, value in rows %}
select '{{ name | replace("'", "") }}' as name, cast({{ value }} as {{ text }}) as value
{% if not loop.last %}union all{% endif %}
{% endfor %}
order by name
