"""After any selection of models, in any order, the next `dbt build` is correct."""

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import dbt_process
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from conftest import WITHOUT_TESTS, Lakehouse
from demo_sources.generator import Generator
from test_pipeline import BUILT, differences

START, MIDDLE, END = date(2023, 3, 1), date(2023, 3, 8), date(2023, 3, 10)
SHOP: Any = {"seed": 11, "items": 300, "start": START, "end": END, "damage": 0.05}

# Every method of selection that this project's nodes can be found by, and every command
# that changes the lake.
COMMANDS = [
    ("run", "-s", "quality"),
    ("run", "-s", "batch_reconciliation"),
    ("run", "-s", "source:postgres+"),
    ("run", "-s", "+dim_songs+"),
    ("run", "-s", "+fact_order_items+"),
    ("run", "-s", "+fact_order_items", "batch_reconciliation"),
    ("run", "-s", "fqn:deftunes.intermediate.*"),
    ("run", "-s", "path:models/marts"),
    ("run", "-s", "file:int_user_versions.sql"),
    ("run", "-s", "package:deftunes", "--exclude", "int_sessions_latest"),
    ("run", "-s", "resource_type:model", "--exclude", "tag:cached"),
    ("run", "-s", "tag:rejection_rules+1"),
    ("run", "-s", "config.materialized:incremental"),
    ("run", "-s", "config.materialized:materialized_view"),
    ("run", "-s", "+exposure:*"),
    ("run", "-s", "+metric:revenue"),
    ("run", "-s", "+semantic_model:orders+"),
    ("run", "-s", "@int_songs_sold"),
    ("run", "-s", "2+batch_reconciliation,path:models/marts"),
    ("run", "--exclude", "rejected_records"),
    ("run", "--full-refresh", "-s", "int_sessions_latest"),
    ("run", "--full-refresh", "-s", "int_songs_sold+1"),
    ("run", "--full-refresh", "-s", "batch_reconciliation"),
    ("run", "--full-refresh", "-s", "fact_order_items"),
    ("run", "-s", "fact_sessions"),
    ("run", "--full-refresh", "-s", "fact_sessions", "int_session_devices"),
    ("run", "--vars", "{highest_price_usd: 1}"),
    ("run", "-s", "+fact_order_items", "--vars", "{highest_price_usd: 1}"),
    ("run", "-s", "int_sessions_latest+", "--vars", "{last_session_date: 2023-03-05}"),
    ("run", "--vars", "{first_session_date: 1990-01-01, highest_price_usd: 1e9}"),
    ("run", "-s", "+int_session_items_priced+1", "--vars", "{carry_days: 1}"),
    ("build", "-s", "source:api+", "--exclude", "fact_orders"),
    ("build", "-s", "test_type:data", "--exclude", "revenue_per_day_reported"),
    ("build", "--resource-type", "model", "-s", "+dim_artists"),
    ("build", "--exclude", "config.materialized:view"),
    ("test", "-s", "test_name:unique"),
    ("test", "-s", "test_type:singular"),
    ("seed",),
    ("snapshot",),
    ("retry",),
    ("run-operation", "refresh_materialized_views"),
    ("compile",),
    ("show", "-s", "sales_per_month_vw"),
]


@dataclass(frozen=True)
class Day:
    """A lakehouse before the build of a day that changes everything.

    Attributes:
        lakehouse: the lakehouse, with all that was landed.
        before: a copy of what had been built before the day was landed.
        tables: what a build from nothing makes.

    """

    lakehouse: Lakehouse
    before: Path
    tables: dict[str, list[Any]]

    def restore(self) -> None:
        """Restore the state before the day was built."""
        shutil.rmtree(self.lakehouse.home / "lake")
        shutil.copytree(self.before, self.lakehouse.home / "lake")

    def kill(self, seconds: float, *arguments: str) -> None:
        """Run dbt and kill it after a while."""
        home = self.lakehouse.home
        command = self.lakehouse.command(*arguments)[1:]
        environment = self.lakehouse.environment()
        process = dbt_process.fork(command, environment, home.with_name("killed.log"))
        process.join(seconds)
        process.kill()
        process.join()

    def differences(self) -> dict[str, Any]:
        """Return the differences from a lakehouse that was built from nothing."""
        found: dict[str, Any] = differences(self.lakehouse.tables(*BUILT), self.tables)
        return found


@pytest.fixture(scope="module")
def changed_day(
    lakehouses: Callable[[Path], Lakehouse],
    rates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Day:
    """Build a week; then land changed sessions, users, songs and rates."""
    lists = tmp_path_factory.mktemp("lists") / rates.name
    header, *lines = rates.read_text().splitlines()
    known = [line for line in lines if line[:10] <= "2023-03-03"]
    lists.write_text("\n".join([header, *known]))
    lakehouse = lakehouses(lists)
    before = lakehouse.home.with_name("before")
    generator = Generator(**SHOP)
    lakehouse.land(generator, generator.song_tables(), START, MIDDLE)
    lakehouse.build(*WITHOUT_TESTS)
    shutil.copytree(lakehouse.home / "lake", before)
    # The list of 2 March is corrected, and some later ones are known.
    corrected = [
        line.replace(",1.", ",2.", 1) if line[:10] == "2023-03-02" else line
        for line in lines
        if line[:10] <= "2023-03-08"
    ]
    assert corrected[-len(known) :] != known
    lists.write_text("\n".join([header, *corrected]))
    generator = Generator(**SHOP, revision=1)
    lakehouse.land(generator, generator.song_tables(), START, END)
    other = replace(lakehouse, home=lakehouses(lists).home)
    shutil.copytree(lakehouse.home / "landing", other.home / "landing")
    other.build(*WITHOUT_TESTS)
    return Day(lakehouse, before, other.tables(*BUILT))


def test_any_commands_before_a_build_leave_nothing_behind(
    changed_day: Day, proven: dict[str, str], is_long: bool
) -> None:
    chance = random.Random(20_230_308)  # noqa: S311 - to be repeated
    commands = chance.sample(COMMANDS, k=len(COMMANDS))
    rounds = [commands[place : place + 3] for place in range(0, len(commands), 3)]
    if not is_long:
        # These were seen to lose purchases, users and songs.
        rounds = [[COMMANDS[0], COMMANDS[5], COMMANDS[24]]]
    for some in rounds:
        changed_day.restore()
        for command in some:
            if is_long and chance.random() < 0.3:
                changed_day.kill(chance.uniform(2, 12), *command)
            else:
                changed_day.lakehouse.dbt(*command)
        changed_day.lakehouse.build(*WITHOUT_TESTS)
        assert changed_day.differences() == {}, some
    proven["commands before a build that left nothing behind"] = str(
        sum(map(len, rounds))
    )


def test_a_part_of_a_build_says_that_its_batches_stay_new(changed_day: Day) -> None:
    changed_day.restore()
    lakehouse = changed_day.lakehouse
    said = lakehouse.dbt("run", "-s", "+fact_order_items", "batch_reconciliation")
    assert "Landed batches that stay new: " in said.stdout
    assert "models that read them, such as dim_artists" in said.stdout
    assert "Records read" not in said.stdout
    assert "Not published: only `dbt build` publishes." in said.stdout
    said = lakehouse.dbt("run")
    assert "stay new" not in said.stdout
    assert changed_day.differences() == {}
    *_, landed = sorted(lakehouse.home.glob("landing/users/*/*.parquet"))
    (counted,) = re.findall(r" users +(\d+) +(\d+)", said.stdout)
    assert sum(map(int, counted)) == pq.read_metadata(landed).num_rows > 0
    said = lakehouse.dbt("run")
    assert "No new records." in said.stdout


def test_a_new_column_is_told_in_one_sentence(changed_day: Day) -> None:
    changed_day.restore()
    lakehouse = changed_day.lakehouse
    with lakehouse.writing() as lake:
        lake.execute("alter table lake.marts.dim_songs drop column decade")
    done = lakehouse.dbt("--quiet", "run", "-s", "dim_songs")
    assert done.returncode != 0
    told = "columns of dim_songs have changed since the lake was built. Run `dbt build"
    assert f"{told} --full-refresh`." in done.stdout
    assert "troubleshooting" not in done.stdout
    again = lakehouse.dbt("run", "--full-refresh", "-s", "dim_songs")
    assert again.returncode == 0, again.stdout
