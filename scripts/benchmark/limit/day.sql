-- A day on top of a history, by hand: sessions that start after all that are held and
-- were never delivered before, and no news of users, songs and rates. Everything
-- is worked out from the day, the rows that it touches, and bounds on the rest.
begin;

create temp table usd_rates as
with listed as (
    select currency, rate as units_per_euro, rate_date
    from read_parquet(getvariable('landing') || '/exchange_rates/*/*.parquet')
    where
        rate_date between cast(getvariable('last_day') as date) - 7
        and cast(getvariable('last_day') as date)
    qualify rate_date = max(rate_date) over (partition by currency)
    union all
    select 'EUR', 1, cast(getvariable('last_day') as date)
)
select
    currency,
    cast(
        (select units_per_euro from listed where currency = 'USD') / units_per_euro
        as decimal(18, 12)
    ) as usd_per_unit
from listed;

create temp table sessions as
select
    session_id,
    any_value(user_id) as user_id,
    any_value(session_items) as session_items,
    any_value(cast(session_start_time as timestamp)) as session_start_time,
    any_value(_batch_id) as _batch_id
from read_parquet(
    getvariable('landing') || '/sessions/*_' || getvariable('last_day')
    || '_*/*.parquet'
)
group by session_id;

-- Were any of them held, this script would be wrong.
select error('a session was delivered before')
from lake.marts.fact_orders
where order_id in (select session_id from sessions);

create temp table users as
select user_key, user_id, country_code, country_name, timezone, has_known_timezone
from lake.marts.dim_users
where user_id in (select user_id from sessions);

create temp table new_users as
select distinct cast(md5(user_id) as uuid) as user_key, user_id
from sessions
where user_id not in (select user_id from users);

insert into lake.marts.dim_users by name
select
    user_key,
    user_key as buyer_key,
    user_id,
    'Unknown' as country_name,
    true as is_current,
    false as has_known_country,
    false as has_known_timezone,
    true as is_inferred,
    timestamp '1900-01-01' as valid_from,
    timestamp '9999-12-31' as valid_to
from new_users;

insert into users by name
select
    user_key, user_id, 'Unknown' as country_name, false as has_known_timezone
from new_users;

create temp table items as
with told as (
    select
        sessions.*,
        users.user_key,
        users.country_code,
        users.country_name,
        users.has_known_timezone,
        coalesce(
            case
                when users.timezone in (select name from pg_timezone_names())
                    then
                        (session_start_time at time zone 'UTC')
                        at time zone users.timezone
            end,
            session_start_time
        ) as local_time
    from sessions
    inner join users using (user_id)
)
select
    * exclude (session_items),
    cast(generate_subscripts(session_items, 1) as integer) as item_number,
    unnest(session_items) as item
from told;

create temp table songs as
select song_key, artist_key, track_id, song_title
from lake.marts.dim_songs
where track_id in (select item.song_id from items);

create temp table new_songs as
with sold as (
    select
        item.song_id as track_id,
        min(nullif(item.artist_id, '')) as artist_id,
        min(item.song_name) as song_title
    from items
    where item.song_id not in (select track_id from songs)
    group by item.song_id
),
listed as (
    select *
    from lake.marts.dim_songs
    where not is_inferred and song_id in (select track_id from sold)
    qualify row_number() over (partition by song_id order by track_id) = 1
)
select
    cast(md5(sold.track_id) as uuid) as song_key,
    coalesce(
        cast(md5(coalesce(listed.artist_id, sold.artist_id)) as uuid),
        cast('00000000-0000-0000-0000-000000000000' as uuid)
    ) as artist_key,
    sold.track_id,
    listed.song_id,
    coalesce(listed.artist_id, sold.artist_id) as artist_id,
    if(listed.track_id is null, sold.song_title, listed.song_title) as song_title,
    listed.release,
    listed.duration,
    listed.year,
    coalesce(if(listed.track_id is null, sold.song_title, listed.song_title), '') <> ''
        as has_title,
    listed.year is not null as has_year,
    listed.track_id is null as is_inferred
from sold
left join listed on sold.track_id = listed.song_id;

insert into lake.marts.dim_songs by name from new_songs;

insert into songs by name
select song_key, artist_key, track_id, song_title from new_songs;

create temp table fact as
select
    cast(md5(
        length(session_id) || ':' || session_id
        || length(cast(item_number as varchar)) || ':' || item_number
    ) as uuid) as fact_key,
    songs.song_key,
    user_key,
    user_key as buyer_key,
    case
        when coalesce(item.artist_id, '') = ''
            then cast('00000000-0000-0000-0000-000000000000' as uuid)
        else cast(md5(item.artist_id) as uuid)
    end as artist_key,
    cast(strftime(session_start_time, '%Y%m%d') as integer) as date_key,
    session_id,
    item.song_id,
    upper(trim(item.currency)) as currency,
    item_number,
    cast(item.price as decimal(18, 4)) as price,
    case
        when upper(trim(item.currency)) = 'USD' then cast(item.price as decimal(18, 4))
        else cast(item.price as decimal(20, 4)) * usd_per_unit
    end::decimal(18, 6) as price_usd,
    item.liked,
    coalesce(cast(item.liked_since as timestamp) > session_start_time, false)
        as has_late_like,
    has_known_timezone,
    cast(item.liked_since as timestamp) as liked_since,
    session_start_time,
    cast(local_time as date) as local_date,
    cast(isodow(local_time) as integer) as local_day_of_week,
    cast(hour(local_time) as integer) as local_hour,
    _batch_id
from items
inner join songs on item.song_id = songs.track_id
left join usd_rates on upper(trim(item.currency)) = usd_rates.currency
where item.price >= 0;

insert into lake.marts.fact_order_items from fact;

-- Of artists that nobody knew the names come from the purchases.
insert into lake.marts.dim_artists by name
select
    artist_key,
    item.artist_id,
    coalesce(min(nullif(item.artist_name, '')), 'Unknown') as artist_name,
    cast([] as varchar[]) as aliases,
    0 as track_count,
    true as is_inferred
from items
inner join new_songs on item.song_id = new_songs.track_id
where
    item.artist_id = new_songs.artist_id
    and artist_key not in (select artist_key from lake.marts.dim_artists)
group by all;

-- A new year.
insert into lake.marts.dim_date
select
    cast(strftime(date, '%Y%m%d') as integer), date, day(date), week(date), week(date),
    isoyear(date), date_trunc('week', date), date_trunc('month', date), month(date),
    quarter(date), year(date), isodow(date), isodow(date) >= 6
from (
    select cast(unnest(generate_series(
        date_trunc('year', cast(getvariable('last_day') as date)),
        date_trunc('year', cast(getvariable('last_day') as date)) + interval 1 year
        - interval 1 day,
        interval 1 day
    )) as date) as date
)
where year(date) > (select max(year) from lake.marts.dim_date);

create temp table orders as
select
    session_id as order_id,
    any_value(user_key) as user_key,
    any_value(buyer_key) as buyer_key,
    any_value(date_key) as date_key,
    cast(count(*) as integer) as item_count,
    cast(sum(price_usd) as decimal(18, 6)) as revenue_usd,
    any_value(session_start_time) as session_start_time,
    any_value(local_date) as local_date,
    any_value(local_day_of_week) as local_day_of_week,
    any_value(local_hour) as local_hour
from fact
group by session_id;

create temp table known_buyers as
select
    buyer_key,
    min(date_key // 100) as first_month,
    bool_or(date_key // 100 = (select max(date_key // 100) from orders))
        as has_this_month
from lake.marts.fact_orders
where buyer_key in (select buyer_key from orders)
group by buyer_key;

-- The last order before the day of each buyer now has a next one, and what lies just
-- so far back that it shows who left is told of.
create temp table told_orders as
with touched as (
    select *, rowid as held_rowid
    from lake.marts.fact_orders
    where
        buyer_key in (select buyer_key from orders)
        or date_key = cast(
            strftime(cast(getvariable('last_day') as date) - 90, '%Y%m%d') as integer
        )
),
all_orders as (
    select * from touched
    union all by name
    select * from orders
),
spaced as (
    select
        * replace (
            cast(coalesce(
                order_number,
                coalesce(max(order_number) over all_of_buyer, 0)
                + row_number() over new_of_buyer
            ) as integer) as order_number,
            if(held_rowid is null, cast(datediff(
                'day', lag(session_start_time) over buyer, session_start_time
            ) as integer), days_since_previous_order) as days_since_previous_order,
            coalesce(days_to_next_order, cast(datediff(
                'day', session_start_time, lead(session_start_time) over buyer
            ) as integer)) as days_to_next_order
        ),
        order_number as old_number,
        days_to_next_order as old_days,
        is_followed_by_churn as old_churn,
        datediff('day', session_start_time, (
            select max(session_start_time) from orders
        )) as observed_days
    from all_orders
    window
        buyer as (partition by buyer_key order by session_start_time, order_id),
        all_of_buyer as (partition by buyer_key),
        new_of_buyer as (
            partition by buyer_key, held_rowid is null
            order by session_start_time, order_id
        )
),
judged as (
    select * replace (
        case
            when observed_days >= 90 then coalesce(days_to_next_order > 90, true)
        end as is_followed_by_churn
    )
    from spaced
)
select *
from judged
where
    old_number is null
    or old_days is distinct from days_to_next_order
    or old_churn is distinct from is_followed_by_churn;

delete from lake.marts.fact_orders
where rowid in (select held_rowid from told_orders where held_rowid is not null);

insert into lake.marts.fact_orders by name
select * exclude (held_rowid, old_number, old_days, old_churn, observed_days)
from told_orders;

-- Sums grow by the day's.
create temp table day_sales as
select date_key, sum(price_usd) as revenue_usd, count(*) as item_count
from fact
group by date_key;

insert into lake.reports.sales_per_day_mv
select
    date_key,
    make_date(date_key // 10000, date_key // 100 % 100, date_key % 100) as date,
    revenue_usd,
    item_count
from day_sales;

create temp table artist_sales as
select
    new.artist_key,
    any_value(held.rowid) as held_rowid,
    new.year,
    any_value(new.revenue_usd) + coalesce(any_value(held.revenue_usd), 0) as revenue_usd,
    any_value(new.item_count) + coalesce(any_value(held.item_count), 0) as item_count
from (
    select
        artist_key,
        date_key // 10000 as year,
        sum(price_usd) as revenue_usd,
        count(*) as item_count
    from fact
    group by all
) as new
left join lake.reports.sales_per_artist_mv as held
    on new.artist_key = held.artist_key and new.year = held.year
group by new.artist_key, new.year;

delete from lake.reports.sales_per_artist_mv
where rowid in (select held_rowid from artist_sales where held_rowid is not null);

insert into lake.reports.sales_per_artist_mv
select artist_key, artists.artist_name, year, revenue_usd, item_count
from artist_sales
inner join lake.marts.dim_artists as artists using (artist_key);

create temp table song_sales as
select
    new.song_key,
    held.rowid as held_rowid,
    new.revenue_usd + coalesce(held.revenue_usd, 0) as revenue_usd,
    new.item_count + coalesce(held.item_count, 0) as item_count
from (
    select song_key, sum(price_usd) as revenue_usd, count(*) as item_count
    from fact
    group by song_key
) as new
left join lake.reports.sales_per_song_mv as held using (song_key);

delete from lake.reports.sales_per_song_mv
where rowid in (select held_rowid from song_sales where held_rowid is not null);

insert into lake.reports.sales_per_song_mv
select
    song_key, songs.artist_key, songs.song_title, artists.artist_name, revenue_usd,
    item_count
from song_sales
inner join songs using (song_key)
inner join lake.marts.dim_artists as artists using (artist_key);

create temp table country_sales as
select
    new.country_code,
    new.country_name,
    new.month,
    new.year,
    held.rowid as held_rowid,
    new.revenue_usd + coalesce(held.revenue_usd, 0) as revenue_usd,
    new.item_count + coalesce(held.item_count, 0) as item_count
from (
    select
        country_code,
        country_name,
        date_key // 100 % 100 as month,
        date_key // 10000 as year,
        sum(price_usd) as revenue_usd,
        count(*) as item_count
    from fact
    inner join users using (user_key)
    group by all
) as new
left join lake.reports.sales_per_country_mv as held
    on
        new.country_code is not distinct from held.country_code
        and new.country_name = held.country_name
        and new.month = held.month
        and new.year = held.year;

delete from lake.reports.sales_per_country_mv
where rowid in (select held_rowid from country_sales where held_rowid is not null);

insert into lake.reports.sales_per_country_mv by name
select * exclude (held_rowid) from country_sales;

create temp table cohort_sales as
with new as (
    select
        make_date(first_month // 100, first_month % 100, 1) as cohort_date,
        month // 100 * 12 + month % 100 - first_month // 100 * 12 - first_month % 100
            as months_since,
        count(*) filter (not has_this_month) as buyer_count,
        sum(revenue_usd) as revenue_usd
    from (
        select
            date_key // 100 as month,
            coalesce(known.first_month, date_key // 100) as first_month,
            coalesce(known.has_this_month, false) as has_this_month,
            sum(revenue_usd) as revenue_usd
        from orders
        left join known_buyers as known using (buyer_key)
        group by
            buyer_key, date_key // 100, known.first_month, known.has_this_month
    )
    group by all
)
select
    cohort_date,
    months_since,
    held.rowid as held_rowid,
    new.buyer_count + coalesce(held.buyer_count, 0) as buyer_count,
    new.revenue_usd + coalesce(held.revenue_usd, 0) as revenue_usd
from new
left join lake.reports.buyer_cohorts_mv as held using (cohort_date, months_since);

delete from lake.reports.buyer_cohorts_mv
where rowid in (select held_rowid from cohort_sales where held_rowid is not null);

insert into lake.reports.buyer_cohorts_mv by name
select * exclude (held_rowid) from cohort_sales;

-- What was sold today may be among the best of its country now, unless the whole world
-- paid less for it than for the country's tenth.
create temp table candidates as
with tenth as (
    select
        country_code,
        country_name,
        if(count(*) = 10, min(revenue_usd), 0) as revenue_usd
    from lake.reports.top_songs_per_country_mv
    group by country_code, country_name
)
select distinct fact.song_key, users.country_code, users.country_name
from fact
inner join users using (user_key)
inner join song_sales using (song_key)
left join tenth
    on
        users.country_code is not distinct from tenth.country_code
        and users.country_name = tenth.country_name
where song_sales.revenue_usd >= coalesce(tenth.revenue_usd, 0);

create temp table top_songs as
-- Of the purchases first those of the candidates' songs: joined with the users at once,
-- they took nine times as long.
with sold as (
    select song_key, user_key, price_usd
    from lake.marts.fact_order_items
    where song_key in (select song_key from candidates)
),
sums as (
    select
        sold.song_key,
        buyers.country_code,
        buyers.country_name,
        sum(sold.price_usd) as revenue_usd,
        count(*) as item_count
    from sold
    inner join lake.marts.dim_users as buyers using (user_key)
    group by all
),
sales as (
    select sums.*
    from sums
    semi join candidates
        on
            sums.song_key = candidates.song_key
            and sums.country_code is not distinct from candidates.country_code
            and sums.country_name = candidates.country_name
),
held as (
    select
        song_key, country_code, country_name, song_rank as held_rank, revenue_usd,
        item_count, rowid as held_rowid
    from lake.reports.top_songs_per_country_mv
),
merged as (
    select
        song_key,
        country_code,
        country_name,
        max(revenue_usd) as revenue_usd,
        max(item_count) as item_count,
        max(held_rank) as held_rank,
        max(held_rowid) as held_rowid,
        count(sales_count) > 0 as is_sold
    from (
        select *, null as sales_count from held
        union all by name
        select *, 1 as sales_count from sales
    )
    group by all
)
select
    *,
    cast(row_number() over (
        partition by country_code, country_name order by revenue_usd desc, song_key
    ) as integer) as song_rank
from merged;

create temp table changed_top as
from top_songs
where
    is_sold and (song_rank <= 10 or held_rank is not null)
    or held_rank is distinct from song_rank and (held_rank is not null or song_rank <= 10);

delete from lake.reports.top_songs_per_country_mv
where rowid in (select held_rowid from changed_top where held_rowid is not null);

insert into lake.reports.top_songs_per_country_mv
select
    song_key, country_code, country_name, songs.song_title, artists.artist_name,
    song_rank, revenue_usd, item_count
from changed_top
inner join lake.marts.dim_songs as songs using (song_key)
inner join lake.marts.dim_artists as artists using (artist_key)
where song_rank <= 10;

commit;
