"""Make the star and the aggregates with Spark: `spark.py LANDING FOLDER COUNTRIES`.

Runs in the environment of `scripts/benchmark/requirements.txt`, which has pyspark. The
rules are those of `limit/full.sql`. Keys are text, since Spark has no type uuid.
"""

import sys
import time
from pathlib import Path

from pyspark.sql import (  # type: ignore[import-not-found,unused-ignore]
    DataFrame,
    SparkSession,
)

# The views, and below them the tables, which are written in this order. A table that is
# read by a later one is read from its files.
VIEWS = {
    "listed": """
        select currency, rate as units_per_euro, rate_date
        from exchange_rates
        where rate > 0
        union all
        select 'EUR', 1, explode(sequence(min(rate_date), max(rate_date)))
        from exchange_rates
    """,
    "usd_rates": """
        with spans as (
            select
                *,
                lead(rate_date, 1, rate_date + interval 7 days) over (
                    partition by currency order by rate_date
                ) as next_date
            from listed
        ),
        carried as (
            select
                currency,
                units_per_euro,
                explode(sequence(
                    rate_date,
                    greatest(
                        least(
                            next_date - interval 1 day, rate_date + interval 7 days
                        ),
                        rate_date
                    )
                )) as rate_date
            from spans
        )
        select
            carried.currency,
            carried.rate_date,
            cast(
                cast(dollar.units_per_euro as double)
                / cast(carried.units_per_euro as double) as decimal(18, 12)
            ) as usd_per_unit
        from carried
        inner join carried as dollar
            on carried.rate_date = dollar.rate_date and dollar.currency = 'USD'
        where carried.currency <> 'USD'
    """,
    "people": """
        select * except (place)
        from (
            select
                md5(user_id) as user_key,
                user_id,
                user_name,
                user_lastname,
                user_location[2] as place_name,
                user_location[3] as country_code,
                user_location[4] as timezone,
                cast(user_location[0] as decimal(9, 6)) as latitude,
                cast(user_location[1] as decimal(9, 6)) as longitude,
                cast(user_since as timestamp_ntz) as user_since,
                row_number() over (partition by user_id order by _position) as place
            from users
        )
        where place = 1
    """,
    "tracks": """
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
        from songs
    """,
    "unlisted": """
        select
            item.song_id as track_id,
            nullif(item.artist_id, '') as artist_id,
            min(item.song_name) as song_title,
            min(nullif(item.artist_name, '')) as artist_name
        from (select explode(session_items) as item from sessions)
        left anti join tracks on item.song_id = tracks.track_id
        group by 1, 2
    """,
    "kept": """
        select * except (place)
        from (
            select
                session_id,
                user_id,
                session_items,
                cast(session_start_time as timestamp_ntz) as session_start_time,
                row_number() over (
                    partition by session_id order by _batch_id, _position
                ) as place
            from sessions
        )
        where place = 1
    """,
}
TABLES = {
    "marts.fact_order_items": """
        with buyers as (
            select
                kept.*,
                md5(kept.user_id) as user_key,
                coalesce(
                    convert_timezone(
                        'UTC',
                        -- Java 17 lacks this time zone, which was made in March 2025.
                        case people.timezone
                            when 'America/Coyhaique' then 'America/Santiago'
                            else people.timezone
                        end,
                        kept.session_start_time
                    ),
                    kept.session_start_time
                ) as local_time,
                people.timezone is not null as has_known_timezone
            from kept
            left join people on kept.user_id = people.user_id
        ),
        items as (
            select * except (session_items), posexplode(session_items) as (place, item)
            from buyers
        ),
        priced as (
            select
                * except (item, place),
                place + 1 as item_number,
                item.song_id,
                item.artist_id,
                upper(trim(item.currency)) as currency,
                cast(item.price as decimal(18, 4)) as price,
                item.liked,
                cast(item.liked_since as timestamp_ntz) as liked_since,
                cast(session_start_time as date) as session_date
            from items
            where item.price >= 0
        )
        select
            md5(
                length(session_id) || ':' || session_id
                || length(cast(item_number as string)) || ':' || item_number
            ) as fact_key,
            md5(song_id) as song_key,
            user_key,
            user_key as person_key,
            case when coalesce(artist_id, '') = '' then repeat('0', 32)
                else md5(artist_id) end as artist_key,
            cast(date_format(session_date, 'yyyyMMdd') as int) as date_key,
            cast(date_format(local_time, 'yyyyMMdd') as int) as local_date_key,
            session_id,
            song_id as track_id,
            priced.currency,
            item_number,
            price,
            case
                when priced.currency = 'USD' then cast(price as decimal(18, 6))
                else cast(
                    cast(price as decimal(20, 4)) * usd_rates.usd_per_unit
                    as decimal(18, 6)
                )
            end as price_usd,
            case when priced.currency = 'USD' then 1 else usd_rates.usd_per_unit end
                as usd_per_unit,
            liked,
            has_known_timezone,
            liked_since,
            session_start_time,
            cast(local_time as date) as local_date,
            weekday(local_time) + 1 as local_day_of_week,
            hour(local_time) as local_hour
        from priced
        left join usd_rates
            on
                priced.currency = usd_rates.currency
                and priced.session_date = usd_rates.rate_date
    """,
    "marts.dim_users": """
        with members as (
            select
                user_key, user_id, user_name, user_lastname, place_name, country_code,
                timezone, latitude, longitude, user_since, false as is_inferred
            from people
            union all
            select
                md5(user_id), user_id, null, null, null, null, null, null, null, null,
                true
            from (select distinct user_id from sessions)
            left anti join people using (user_id)
            union all
            select
                repeat('0', 32), '', null, null, null, null, null, null, null, null,
                true
        )
        select
            user_key,
            user_key as person_key,
            user_id,
            user_name,
            user_lastname,
            place_name,
            country_code,
            coalesce(country_name, 'Unknown') as country_name,
            timezone,
            latitude,
            longitude,
            true as is_current,
            country_name is not null as has_known_country,
            timezone is not null as has_known_timezone,
            is_inferred,
            user_since,
            timestamp_ntz '1900-01-01 00:00:00' as valid_from,
            timestamp_ntz '9999-12-31 00:00:00' as valid_to
        from members
        left join countries using (country_code)
    """,
    "marts.dim_songs": """
        with sold as (
            select
                track_id, min(artist_id) as artist_id, min(song_title) as song_title
            from unlisted
            group by track_id
        ),
        by_song_id as (
            select song_id as sold_id, min(track_id) as track_id
            from tracks
            group by song_id
        ),
        members as (
            select
                track_id, song_id, artist_id, song_title, release, duration, year,
                false as is_inferred
            from tracks
            union all
            select
                sold.track_id,
                tracks.song_id,
                coalesce(tracks.artist_id, sold.artist_id),
                if(tracks.track_id is null, sold.song_title, tracks.song_title),
                tracks.release,
                tracks.duration,
                tracks.year,
                tracks.track_id is null
            from sold
            left join by_song_id on sold.track_id = by_song_id.sold_id
            left join tracks on by_song_id.track_id = tracks.track_id
            union all
            select '', null, null, 'Unknown', null, null, null, true
        )
        select
            if(track_id = '', repeat('0', 32), md5(track_id)) as song_key,
            if(artist_id is null, repeat('0', 32), md5(artist_id)) as artist_key,
            track_id,
            song_id,
            artist_id,
            song_title,
            release,
            case
                when duration is null then 'Unknown'
                when duration >= 480 then '8 or more'
                else concat(
                    cast(floor(duration / 60) as int),
                    ' to ',
                    cast(floor(duration / 60) as int) + 1
                )
            end as duration_band,
            duration,
            year,
            year div 10 * 10 as decade,
            track_id <> '' and coalesce(song_title, '') <> '' as has_title,
            year is not null as has_year,
            is_inferred
        from members
    """,
    "marts.dim_artists": """
        with names as (
            select
                artist_id,
                artist_name,
                row_number() over (
                    partition by artist_id
                    order by count(*) desc, length(artist_name), artist_name
                ) as place
            from tracks
            where artist_name <> ''
            group by artist_id, artist_name
        ),
        named as (
            select
                artist_id,
                min(artist_name) filter (where place = 1) as artist_name,
                sort_array(collect_list(artist_name) filter (where place > 1))
                    as aliases
            from names
            group by artist_id
        ),
        mbids as (
            select artist_id, artist_mbid
            from (
                select
                    artist_id,
                    artist_mbid,
                    row_number() over (
                        partition by artist_id order by count(*) desc, artist_mbid
                    ) as place
                from tracks
                where artist_mbid <> ''
                group by artist_id, artist_mbid
            )
            where place = 1
        ),
        measures as (
            select
                artist_id,
                max(artist_familiarity) as artist_familiarity,
                max(artist_hotness) as artist_hotness,
                cast(count(*) as int) as track_count
            from tracks
            where artist_id is not null
            group by artist_id
        ),
        sold as (
            select artist_id, min(artist_name) as artist_name
            from unlisted
            where artist_id is not null
            group by artist_id
        )
        select
            md5(measures.artist_id) as artist_key,
            measures.artist_id,
            mbids.artist_mbid,
            coalesce(named.artist_name, sold.artist_name, 'Unknown') as artist_name,
            coalesce(named.aliases, cast(array() as array<string>)) as aliases,
            coalesce(
                concat(
                    cast(floor(measures.artist_familiarity * 5) * 0.2 as decimal(2, 1)),
                    ' to ',
                    cast(
                        (floor(measures.artist_familiarity * 5) + 1) * 0.2
                        as decimal(2, 1)
                    )
                ),
                'Unknown'
            ) as familiarity_band,
            coalesce(
                concat(
                    cast(floor(measures.artist_hotness * 5) * 0.2 as decimal(2, 1)),
                    ' to ',
                    cast(
                        (floor(measures.artist_hotness * 5) + 1) * 0.2
                        as decimal(2, 1)
                    )
                ),
                'Unknown'
            ) as hotness_band,
            measures.artist_familiarity,
            measures.artist_hotness,
            measures.track_count,
            false as is_inferred
        from measures
        left join named on measures.artist_id = named.artist_id
        left join mbids on measures.artist_id = mbids.artist_id
        left join sold on measures.artist_id = sold.artist_id
        union all
        select
            md5(artist_id), artist_id, null, coalesce(artist_name, 'Unknown'),
            cast(array() as array<string>), 'Unknown', 'Unknown', null, null, 0, true
        from sold
        left anti join measures using (artist_id)
        union all
        select
            repeat('0', 32), '', null, 'Unknown', cast(array() as array<string>),
            'Unknown', 'Unknown', null, null, 0, true
    """,
    "marts.dim_date": """
        select
            cast(date_format(date, 'yyyyMMdd') as int) as date_key,
            date,
            day(date) as day,
            weekofyear(date) as week,
            weekofyear(date) as iso_week,
            cast(extract(yearofweek from date) as int) as iso_year,
            cast(date_trunc('week', date) as date) as first_day_of_week,
            trunc(date, 'month') as first_day_of_month,
            month(date) as month,
            quarter(date) as quarter,
            year(date) as year,
            weekday(date) + 1 as day_of_week,
            weekday(date) >= 5 as is_weekend
        from (
            select explode(sequence(
                least(
                    cast(trunc(min(session_start_time), 'year') as date),
                    date_sub(min(session_start_time), 1)
                ),
                greatest(
                    last_day(add_months(trunc(max(session_start_time), 'year'), 11)),
                    date_add(max(session_start_time), 1)
                )
            )) as date
            from fact_order_items
        )
    """,
    "marts.fact_orders": """
        with orders as (
            select
                session_id as order_id,
                any_value(user_key) as user_key,
                any_value(person_key) as person_key,
                any_value(date_key) as date_key,
                any_value(local_date_key) as local_date_key,
                cast(count(*) as int) as item_count,
                cast(sum(price_usd) as decimal(18, 6)) as revenue_usd,
                any_value(session_start_time) as session_start_time,
                any_value(local_date) as local_date,
                any_value(local_day_of_week) as local_day_of_week,
                any_value(local_hour) as local_hour
            from fact_order_items
            group by session_id
        ),
        spaced as (
            select
                *,
                cast(row_number() over buyer as int) as order_number,
                datediff(
                    cast(session_start_time as date),
                    cast(lag(session_start_time) over buyer as date)
                ) as days_since_previous_order,
                datediff(
                    cast(lead(session_start_time) over buyer as date),
                    cast(session_start_time as date)
                ) as days_to_next_order,
                lead(year(session_start_time) * 12 + month(session_start_time))
                    over buyer
                - year(session_start_time) * 12 - month(session_start_time)
                    as months_to_next_order
            from orders
            window buyer as (
                partition by person_key order by session_start_time, order_id
            )
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
        from spaced
    """,
    "reports.sales_per_day_mv": """
        select
            date_key, date, sum(price_usd) as revenue_usd, count(*) as item_count
        from fact_order_items
        inner join dim_date using (date_key)
        group by date_key, date
    """,
    "reports.sales_per_artist_mv": """
        select artist_key, artist_name, year, revenue_usd, item_count
        from (
            select
                artist_key,
                cast(date_key div 10000 as int) as year,
                sum(price_usd) as revenue_usd,
                count(*) as item_count
            from fact_order_items
            group by 1, 2
        )
        inner join dim_artists using (artist_key)
    """,
    "reports.sales_per_song_mv": """
        select
            song_key, dim_songs.artist_key, song_title, artist_name, revenue_usd,
            item_count
        from (
            select song_key, sum(price_usd) as revenue_usd, count(*) as item_count
            from fact_order_items
            group by song_key
        )
        inner join dim_songs using (song_key)
        inner join dim_artists on dim_songs.artist_key = dim_artists.artist_key
    """,
    "reports.sales_per_country_mv": """
        select
            country_code,
            country_name,
            cast(date_key div 100 % 100 as int) as month,
            cast(date_key div 10000 as int) as year,
            sum(price_usd) as revenue_usd,
            count(*) as item_count
        from fact_order_items
        inner join dim_users using (user_key)
        group by 1, 2, 3, 4
    """,
    "reports.buyer_cohorts_mv": """
        with monthly as (
            select
                person_key,
                cast(date_key div 10000 * 12 + date_key div 100 % 100 as int)
                    as month_number,
                sum(revenue_usd) as revenue_usd
            from fact_orders
            group by 1, 2
        ),
        cohorts as (
            select
                revenue_usd,
                month_number,
                min(month_number) over (partition by person_key) as first_month
            from monthly
        )
        select
            make_date(
                cast((first_month - 1) div 12 as int), (first_month - 1) % 12 + 1, 1
            ) as cohort_date,
            month_number - first_month as months_since,
            count(*) as buyer_count,
            sum(revenue_usd) as revenue_usd
        from cohorts
        group by first_month, month_number - first_month
    """,
    "reports.top_songs_per_country_mv": """
        with sales as (
            select
                song_key,
                country_code,
                country_name,
                sum(price_usd) as revenue_usd,
                count(*) as item_count
            from fact_order_items
            inner join dim_users using (user_key)
            group by song_key, country_code, country_name
        ),
        ranked as (
            select
                *,
                cast(row_number() over (
                    partition by country_code, country_name
                    order by revenue_usd desc, song_key
                ) as int) as song_rank
            from sales
        )
        select
            ranked.song_key, country_code, country_name, song_title, artist_name,
            song_rank, revenue_usd, item_count
        from ranked
        inner join dim_songs on ranked.song_key = dim_songs.song_key
        inner join dim_artists on dim_songs.artist_key = dim_artists.artist_key
        where song_rank <= 10
    """,
}


def main(landing: Path, folder: Path, countries: Path) -> None:
    """Make the tables; print the seconds, without the start of Spark.

    Args:
        landing: the landing zone.
        folder: the folder for the tables.
        countries: the seed with the names of countries.

    """
    spark = (
        SparkSession.builder.master("local[*]")
        .config("spark.driver.memory", "6g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.sql.shuffle.partitions", "8")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.sql.parquet.inferTimestampNTZ.enabled", "true")
        .config("spark.local.dir", str(folder / "tmp"))
        .getOrCreate()
    )
    started = time.perf_counter()
    for entity in ("sessions", "users", "songs", "exchange_rates"):
        view(spark, entity, spark.read.parquet(f"{landing}/{entity}/*/*.parquet"))
    # A nullValue that no field has: NA is the code of Namibia.
    named = spark.read.csv(str(countries), header=True, nullValue="\0")
    view(spark, "countries", named)
    for name, query in VIEWS.items():
        view(spark, name, spark.sql(query))
    for name, query in TABLES.items():
        target = str(folder / name.replace(".", "/"))
        spark.sql(query).write.mode("overwrite").parquet(target)
        view(spark, name.partition(".")[2], spark.read.parquet(target))
    print(time.perf_counter() - started)
    spark.stop()


def view(spark: SparkSession, name: str, rows: DataFrame) -> None:
    """Register rows as a temporary view."""
    rows.createOrReplaceTempView(name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
