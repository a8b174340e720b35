-- The star and the materialized views, by SQL that is written by hand for one landing
-- zone. It assumes one extract of users and songs, no rejected records, and no session
-- that a later day delivers again; duplicates within a batch are handled. Slow operations
-- are done once: keys are hashed per user, song and artist, not per purchase; local time
-- uses one offset per time zone and day, on days when the offset does not change.
begin;

create schema lake.marts;
create schema lake.reports;

create temp view sessions as
from read_parquet(getvariable('landing') || '/sessions/*/*.parquet');

create temp table usd_rates as
with listed as (
    select currency, rate as units_per_euro, rate_date
    from read_parquet(getvariable('landing') || '/exchange_rates/*/*.parquet')
    where rate > 0
    union all
    select 'EUR', 1, unnest(generate_series(min(rate_date), max(rate_date), interval 1 day))
    from read_parquet(getvariable('landing') || '/exchange_rates/*/*.parquet')
),
wanted as (
    select currency, cast(unnest(generate_series(
        cast(getvariable('first_day') as date), cast(getvariable('last_day') as date),
        interval 1 day
    )) as date) as rate_date
    from (select distinct currency from listed)
),
carried as (
    select wanted.currency, wanted.rate_date, listed.units_per_euro
    from wanted
    asof join listed
        on wanted.currency = listed.currency and wanted.rate_date >= listed.rate_date
    where wanted.rate_date <= listed.rate_date + interval 7 days
)
select
    carried.currency,
    carried.rate_date,
    cast(dollar.units_per_euro / carried.units_per_euro as decimal(18, 12))
        as usd_per_unit,
    -- As an integer, in units of 10^-12.
    cast(usd_per_unit * 1e12 as bigint) as integer_rate
from carried
inner join carried as dollar
    on carried.rate_date = dollar.rate_date and dollar.currency = 'USD'
where carried.currency <> 'USD';

create temp table users as
select
    cast(md5(user_id) as uuid) as user_key,
    *
from (
    select distinct on (user_id)
        user_id,
        user_name,
        user_lastname,
        user_location[3] as place_name,
        user_location[4] as country_code,
        user_location[5] as timezone,
        cast(user_location[1] as decimal(9, 6)) as latitude,
        cast(user_location[2] as decimal(9, 6)) as longitude,
        cast(user_since as timestamp) as user_since,
        _batch_id
    from read_parquet(getvariable('landing') || '/users/*/*.parquet')
);

create temp table songs as
select
    cast(md5(track_id) as uuid) as song_key,
    cast(md5(artist_id) as uuid) as artist_key,
    *
from (
    select
        track_id,
        song_id,
        nullif(artist_id, '') as artist_id,
        title as song_title,
        release,
        case when duration between 0 and 86400 then duration end as duration,
        case when year between 1860 and 2100 then year end as year,
        artist_name,
        artist_mbid,
        case when artist_familiarity > 0 and artist_familiarity <= 1
            then artist_familiarity end as artist_familiarity,
        case when artist_hotttnesss > 0 and artist_hotttnesss <= 2
            then artist_hotttnesss end as artist_hotness
    from read_parquet(getvariable('landing') || '/songs/*/*.parquet')
);

-- The offset of each time zone from UTC in hours, if it is the same all day.
create temp table offsets as
with days as (
    select
        zones.timezone,
        cast(unnest(generate_series(
            cast(getvariable('first_day') as date), cast(getvariable('last_day') as date),
            interval 1 day
        )) as timestamp) as day
    from (
        select distinct timezone from users
        where timezone in (select name from pg_timezone_names())
    ) as zones
),
edges as (
    select
        timezone,
        day,
        (day at time zone 'UTC') at time zone timezone - day as at_begin,
        ((day + interval 1 day) at time zone 'UTC') at time zone timezone
        - (day + interval 1 day) as at_end
    from days
)
select
    timezone,
    cast(day as date) as day,
    at_begin as utc_offset,
    at_begin = at_end as is_same
from edges;

-- The delivery to load of each session that was delivered more than once.
create temp table twins as
select session_id, min(_batch_id || lpad(cast(_position as varchar), 9, '0')) as kept
from sessions
group by session_id
having count(*) > 1;

-- Songs that were bought but are not in the catalogue, with the data of their items.
create temp table unlisted as
select
    item.song_id as track_id,
    nullif(item.artist_id, '') as artist_id,
    min(item.song_name) as song_title,
    min(nullif(item.artist_name, '')) as artist_name
from (select unnest(session_items) as item from sessions)
where item.song_id not in (select track_id from songs)
group by all;

create table lake.marts.fact_order_items (
    fact_key uuid, song_key uuid, user_key uuid, person_key uuid, artist_key uuid,
    date_key integer, local_date_key integer, session_id varchar, track_id varchar,
    currency varchar, item_number integer, price decimal(18, 4),
    price_usd decimal(18, 6), usd_per_unit decimal(18, 12), liked boolean,
    has_known_timezone boolean, liked_since timestamp, session_start_time timestamp,
    local_date date, local_day_of_week integer, local_hour integer, _batch_id varchar
);
alter table lake.marts.fact_order_items
set partitioned by (year(session_start_time), month(session_start_time));

insert into lake.marts.fact_order_items
with kept as (
    select
        session_id,
        user_id,
        session_items,
        cast(session_start_time as timestamp) as session_start_time,
        cast(session_start_time[:10] as date) as session_date,
        _batch_id
    from sessions
    where
        session_id not in (select session_id from twins)
        or _batch_id || lpad(cast(_position as varchar), 9, '0')
        in (select kept from twins)
),
buyers as (
    select
        kept.*,
        coalesce(users.user_key, cast(md5(kept.user_id) as uuid)) as user_key,
        case
            when offsets.is_same then kept.session_start_time + offsets.utc_offset
            when offsets.timezone is null then kept.session_start_time
            else (kept.session_start_time at time zone 'UTC') at time zone users.timezone
        end as local_time,
        offsets.timezone is not null as has_known_timezone
    from kept
    left join users on kept.user_id = users.user_id
    left join offsets
        on users.timezone = offsets.timezone and kept.session_date = offsets.day
),
items as (
    select
        * exclude (session_items),
        generate_subscripts(session_items, 1) as item_number,
        unnest(session_items) as item
    from (
        select
            user_key, session_id, session_items, session_start_time, session_date,
            cast(local_time as date) as local_date,
            cast(isodow(local_time) as integer) as local_day_of_week,
            cast(hour(local_time) as integer) as local_hour,
            has_known_timezone,
            cast(
                year(session_date) * 10000 + month(session_date) * 100
                + day(session_date) as integer
            ) as date_key,
            cast(
                year(local_time) * 10000 + month(local_time) * 100
                + day(local_time) as integer
            ) as local_date_key,
            length(session_id) || ':' || session_id as session_text,
            _batch_id
        from buyers
    )
),
priced as (
    select
        * exclude (item),
        item.song_id,
        item.artist_id,
        upper(trim(item.currency)) as currency,
        cast(item.price as decimal(18, 4)) as price,
        item.liked,
        cast(item.liked_since as timestamp) as liked_since
    from items
    where item.price >= 0
)
select
    cast(md5(
        session_text || length(cast(item_number as varchar)) || ':' || item_number
    ) as uuid) as fact_key,
    coalesce(songs.song_key, cast(md5(priced.song_id) as uuid)) as song_key,
    user_key,
    user_key as person_key,
    case
        when priced.artist_id = songs.artist_id then songs.artist_key
        when coalesce(priced.artist_id, '') = ''
            then cast('00000000-0000-0000-0000-000000000000' as uuid)
        else cast(md5(priced.artist_id) as uuid)
    end as artist_key,
    date_key,
    local_date_key,
    session_id,
    priced.song_id as track_id,
    priced.currency,
    cast(item_number as integer) as item_number,
    price,
    case
        when priced.currency = 'USD' then cast(price as decimal(18, 6))
        -- 64-bit integers are enough, and much faster than 128-bit decimals; an overflow
        -- is an error.
        else cast(
            (cast(price * 1e4 as bigint) * usd_rates.integer_rate + 5_000_000_000)
            // 10_000_000_000 as decimal(12, 0)
        ) * cast(0.000001 as decimal(6, 6))
    end as price_usd,
    case when priced.currency = 'USD' then 1 else usd_rates.usd_per_unit end
        as usd_per_unit,
    liked,
    has_known_timezone,
    liked_since,
    session_start_time,
    local_date,
    local_day_of_week,
    local_hour,
    _batch_id
from priced
left join songs on priced.song_id = songs.track_id
left join usd_rates
    on priced.currency = usd_rates.currency and priced.session_date = usd_rates.rate_date;

create table lake.marts.dim_users as
with members as (
    select *, false as is_inferred from users
    union all by name
    select distinct cast(md5(user_id) as uuid) as user_key, user_id, true as is_inferred
    from sessions
    where user_id not in (select user_id from users)
    union all by name
    select
        cast('00000000-0000-0000-0000-000000000000' as uuid) as user_key,
        '' as user_id,
        true as is_inferred
)
select
    members.user_key,
    members.user_key as person_key,
    members.user_id,
    members.user_name,
    members.user_lastname,
    members.place_name,
    members.country_code,
    coalesce(countries.country_name, 'Unknown') as country_name,
    members.timezone,
    members.latitude,
    members.longitude,
    true as is_current,
    countries.country_name is not null as has_known_country,
    coalesce(
        members.timezone in (select name from pg_timezone_names()), false
    ) as has_known_timezone,
    members.is_inferred,
    members.user_since,
    timestamp '1900-01-01' as valid_from,
    timestamp '9999-12-31' as valid_to,
    members._batch_id
from members
left join read_csv(getvariable('countries')) as countries
    using (country_code);

create table lake.marts.dim_songs as
with sold as (
    select track_id, min(artist_id) as artist_id, min(song_title) as song_title
    from unlisted
    group by track_id
),
-- Songs that were sold under a song_id, which several tracks may share.
by_song_id as (
    select song_id as sold_id, min(track_id) as track_id
    from songs
    where song_id in (select track_id from sold)
    group by song_id
),
members as (
    select * exclude (artist_key, song_key), false as is_inferred from songs
    union all by name
    select
        sold.track_id,
        songs.song_id,
        coalesce(songs.artist_id, sold.artist_id) as artist_id,
        if(songs.track_id is null, sold.song_title, songs.song_title) as song_title,
        songs.release,
        songs.duration,
        songs.year,
        songs.track_id is null as is_inferred
    from sold
    left join by_song_id on sold.track_id = by_song_id.sold_id
    left join songs on by_song_id.track_id = songs.track_id
    union all by name
    select '' as track_id, 'Unknown' as song_title, true as is_inferred
)
select
    case
        when track_id = '' then cast('00000000-0000-0000-0000-000000000000' as uuid)
        else cast(md5(track_id) as uuid)
    end as song_key,
    case
        when artist_id is null then cast('00000000-0000-0000-0000-000000000000' as uuid)
        else cast(md5(artist_id) as uuid)
    end as artist_key,
    track_id,
    song_id,
    artist_id,
    song_title,
    release,
    case
        when duration is null then 'Unknown'
        when duration >= 480 then '8 or more'
        else concat(
            cast(floor(duration / 60) as integer),
            ' to ',
            cast(floor(duration / 60) as integer) + 1
        )
    end as duration_band,
    duration,
    year,
    year // 10 * 10 as decade,
    track_id <> '' and coalesce(song_title, '') <> '' as has_title,
    year is not null as has_year,
    is_inferred
from members;

create temporary macro band(value) as coalesce(
    cast(cast(floor(value * 5) / 5 as decimal(2, 1)) as varchar)
    || ' to ' || cast((floor(value * 5) + 1) / 5 as decimal(2, 1)),
    'Unknown'
);

create table lake.marts.dim_artists as
with names as (
    select
        artist_key,
        artist_name,
        row_number() over (
            partition by artist_key
            order by count(*) desc, length(artist_name), artist_name
        ) as place
    from songs
    where artist_name <> ''
    group by artist_key, artist_name
),
named as (
    select
        artist_key,
        min(artist_name) filter (place = 1) as artist_name,
        coalesce(list_sort(list(artist_name) filter (place > 1)), []) as aliases
    from names
    group by artist_key
),
mbids as (
    select artist_key, artist_mbid
    from songs
    where artist_mbid <> ''
    group by artist_key, artist_mbid
    qualify row_number() over (
        partition by artist_key order by count(*) desc, artist_mbid
    ) = 1
),
measures as (
    select
        artist_key,
        any_value(artist_id) as artist_id,
        max(artist_familiarity) as artist_familiarity,
        max(artist_hotness) as artist_hotness,
        cast(count(*) as integer) as track_count
    from songs
    where artist_key is not null
    group by artist_key
),
sold as (
    select artist_id, min(artist_name) as artist_name
    from unlisted
    where artist_id is not null
    group by artist_id
)
select
    measures.artist_key,
    measures.artist_id,
    mbids.artist_mbid,
    coalesce(named.artist_name, sold.artist_name, 'Unknown') as artist_name,
    coalesce(named.aliases, []) as aliases,
    band(measures.artist_familiarity) as familiarity_band,
    band(measures.artist_hotness) as hotness_band,
    measures.artist_familiarity,
    measures.artist_hotness,
    measures.track_count,
    false as is_inferred
from measures
left join named using (artist_key)
left join mbids using (artist_key)
left join sold on measures.artist_id = sold.artist_id
union all by name
select
    cast(md5(artist_id) as uuid) as artist_key,
    artist_id,
    coalesce(artist_name, 'Unknown') as artist_name,
    cast([] as varchar[]) as aliases,
    'Unknown' as familiarity_band,
    'Unknown' as hotness_band,
    0 as track_count,
    true as is_inferred
from sold
where artist_id not in (select artist_id from measures)
union all by name
select
    cast('00000000-0000-0000-0000-000000000000' as uuid) as artist_key,
    '' as artist_id,
    'Unknown' as artist_name,
    cast([] as varchar[]) as aliases,
    'Unknown' as familiarity_band,
    'Unknown' as hotness_band,
    0 as track_count,
    true as is_inferred;

create table lake.marts.dim_date as
select
    cast(year(date) * 10000 + month(date) * 100 + day(date) as integer) as date_key,
    date,
    cast(day(date) as integer) as day,
    cast(week(date) as integer) as week,
    cast(week(date) as integer) as iso_week,
    cast(isoyear(date) as integer) as iso_year,
    cast(date_trunc('week', date) as date) as first_day_of_week,
    cast(date_trunc('month', date) as date) as first_day_of_month,
    cast(month(date) as integer) as month,
    cast(quarter(date) as integer) as quarter,
    cast(year(date) as integer) as year,
    cast(isodow(date) as integer) as day_of_week,
    isodow(date) >= 6 as is_weekend
from (
    select cast(unnest(generate_series(
        least(
            date_trunc('year', cast(getvariable('first_day') as date)),
            cast(getvariable('first_day') as date) - interval 1 day
        ),
        greatest(
            last_day(date_trunc('year', cast(getvariable('last_day') as date))
                + interval 11 months),
            cast(getvariable('last_day') as date) + interval 1 day
        ),
        interval 1 day
    )) as date) as date
);

create table lake.marts.fact_orders as
with orders as (
    select
        session_id as order_id,
        any_value(user_key) as user_key,
        any_value(person_key) as person_key,
        any_value(date_key) as date_key,
        any_value(local_date_key) as local_date_key,
        cast(count(*) as integer) as item_count,
        cast(sum(price_usd) as decimal(18, 6)) as revenue_usd,
        any_value(session_start_time) as session_start_time,
        any_value(local_date) as local_date,
        any_value(local_day_of_week) as local_day_of_week,
        any_value(local_hour) as local_hour
    from lake.marts.fact_order_items
    group by session_id
),
spaced as (
    select
        *,
        cast(row_number() over buyer as integer) as order_number,
        cast(datediff('day', lag(session_start_time) over buyer, session_start_time)
            as integer) as days_since_previous_order,
        cast(datediff('day', session_start_time, lead(session_start_time) over buyer)
            as integer) as days_to_next_order,
        cast(datediff('month', session_start_time, lead(session_start_time) over buyer)
            as integer) as months_to_next_order
    from orders
    window buyer as (partition by person_key order by session_start_time, order_id)
)
select
    order_id,
    user_key,
    person_key,
    date_key,
    local_date_key,
    order_number,
    case
        when order_number = 1 then 'first'
        when days_since_previous_order > 90 then 'returning'
        else 'repeat'
    end as order_type,
    item_count,
    revenue_usd,
    days_since_previous_order,
    days_to_next_order,
    months_to_next_order,
    session_start_time,
    local_date,
    local_day_of_week,
    local_hour
from spaced;

create table lake.reports.sales_per_day_mv as
select
    date_key,
    make_date(date_key // 10000, date_key // 100 % 100, date_key % 100) as date,
    sum(price_usd) as revenue_usd,
    count(*) as item_count
from lake.marts.fact_order_items
group by date_key;

create table lake.reports.sales_per_artist_mv as
select sales.artist_key, artists.artist_name, sales.year, revenue_usd, item_count
from (
    select
        artist_key,
        date_key // 10000 as year,
        sum(price_usd) as revenue_usd,
        count(*) as item_count
    from lake.marts.fact_order_items
    group by all
) as sales
inner join lake.marts.dim_artists as artists using (artist_key);

create table lake.reports.sales_per_song_mv as
select
    song_key, songs.artist_key, songs.song_title, artists.artist_name, revenue_usd,
    item_count
from (
    select song_key, sum(price_usd) as revenue_usd, count(*) as item_count
    from lake.marts.fact_order_items
    group by song_key
)
inner join lake.marts.dim_songs as songs using (song_key)
inner join lake.marts.dim_artists as artists using (artist_key);

create table lake.reports.sales_per_country_mv as
select
    country_code,
    country_name,
    date_key // 100 % 100 as month,
    date_key // 10000 as year,
    sum(price_usd) as revenue_usd,
    count(*) as item_count
from lake.marts.fact_order_items
inner join lake.marts.dim_users using (user_key)
group by all;

create table lake.reports.buyer_cohorts_mv as
with monthly as (
    select
        person_key,
        date_key // 10000 * 12 + date_key // 100 % 100 as month_number,
        sum(revenue_usd) as revenue_usd
    from lake.marts.fact_orders
    group by all
),
cohorts as (
    select
        revenue_usd,
        month_number,
        min(month_number) over (partition by person_key) as first_month
    from monthly
)
select
    make_date((first_month - 1) // 12, (first_month - 1) % 12 + 1, 1) as cohort_date,
    month_number - first_month as months_since,
    count(*) as buyer_count,
    sum(revenue_usd) as revenue_usd
from cohorts
group by first_month, months_since;

create temp table countries as
select
    country_code,
    country_name,
    cast(row_number() over () as integer) as country_number
from (select distinct country_code, country_name from lake.marts.dim_users);

-- With a single value to order by, DuckDB keeps ten rows per country and sorts no more.
create table lake.reports.top_songs_per_country_mv as
with sales as (
    select
        song_key,
        country_number,
        sum(price_usd) as revenue_usd,
        count(*) as item_count
    from lake.marts.fact_order_items
    inner join (
        select user_key, country_number
        from lake.marts.dim_users as users
        inner join countries
            on users.country_code is not distinct from countries.country_code
            and users.country_name = countries.country_name
    ) using (user_key)
    group by all
),
best as (
    from sales
    qualify row_number() over (
        partition by country_number order by (-revenue_usd, song_key)
    ) <= 10
)
select
    song_key,
    country_code,
    country_name,
    songs.song_title,
    artists.artist_name,
    cast(row_number() over (
        partition by country_number order by revenue_usd desc, song_key
    ) as integer) as song_rank,
    revenue_usd,
    item_count
from best
inner join countries using (country_number)
inner join lake.marts.dim_songs as songs using (song_key)
inner join lake.marts.dim_artists as artists using (artist_key);

commit;
