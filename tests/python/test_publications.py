"""Publications: damage is detected, modes are kept, ids do not depend on the clock."""

import os
import re
import shutil
import stat
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pytest
from deftunes.dbt_plugin import publications as module
from deftunes.dbt_plugin.publications import CATALOGUE, COPY, Publications
from deftunes.dbt_plugin.remedies import (
    LostCatalogueError,
    refuse_lost_catalogue,
    remedy,
)

FILES = (COPY, CATALOGUE, "roles/analyst.duckdb", "roles/finance.duckdb")


def publish(published: Publications, rows: int = 1, *names: str) -> str:
    """Publish small databases, and return the id."""
    publication = published.next_publication("")
    folder = Path(published.start_publishing(publication, ""))
    for name in names or FILES:
        with duckdb.connect(str(folder / name)) as connection:
            connection.execute(f"create table numbers as from range({rows})")
    assert published.finish_publishing(publication)
    return publication


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two publications."""
    serving = tmp_path_factory.mktemp("two") / "my serving"
    for rows in (1, 2):
        publish(Publications(serving), rows)
    return serving


@pytest.fixture
def published(two: Path, tmp_path: Path) -> Publications:
    """Return a copy of it."""
    serving = tmp_path / "my serving"
    return Publications(shutil.copytree(two, serving, symlinks=True))


@pytest.fixture
def folder(published: Publications) -> Path:
    """Return the folder of the current publication."""
    return (published.serving / "current").resolve()


def write_into(path: Path) -> None:
    """Add a table to a database."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table mine as select 1")


def leave_a_wal(path: Path) -> None:
    """Leave a write-ahead log beside a database."""
    path.with_name(f"{path.name}.wal").write_bytes(b"rows")


def truncate(path: Path) -> None:
    """Truncate a file, and restore its modification time."""
    held = path.stat()
    os.truncate(path, held.st_size // 2)
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))


def spoil(path: Path) -> None:
    """Overwrite a file's content, and restore its modification time."""
    held = path.stat()
    path.write_bytes(b"?" * held.st_size)
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))


def replace_by_folder(path: Path) -> None:
    """Replace a file by a folder."""
    path.unlink()
    path.mkdir()


def replace_by_another(path: Path) -> None:
    """Replace a file by another role's file, with that file's times."""
    other = next(path.parent.parent.rglob("finance.duckdb"))
    shutil.copy2(other, path)


def replace_by_link(path: Path) -> None:
    """Replace a file by a link to a copy."""
    copy = path.parent.parent.parent / f".{path.name}"
    shutil.move(path, copy)
    path.symlink_to(copy)


@pytest.mark.parametrize(
    "damage",
    [
        *(Path.unlink, truncate, spoil, replace_by_folder, replace_by_another),
        *(replace_by_link, write_into, leave_a_wal),
    ],
)
def test_damage_is_seen_and_named(
    two: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for number, name in enumerate((COPY, CATALOGUE, FILES[2])):
        serving = shutil.copytree(two, tmp_path / str(number), symlinks=True)
        published = Publications(serving)
        folder = (serving / "current").resolve()
        assert published.publication_damage(folder.name, "") == ""
        damage(folder / name)
        assert str(folder / name) in published.publication_damage(folder.name, "")
        assert str(folder / name) in published.publication_damage(folder.name, name)
    # The next publication is whole, whatever it finds.
    publication = publish(published, 3)
    assert published.publication_damage(publication, "") == ""
    assert len(published.kept_publications()) == 2


def test_what_is_lost_as_a_whole_is_seen(published: Publications, folder: Path) -> None:
    serving = published.serving
    for name in (COPY, CATALOGUE, "roles"):
        (serving / name).unlink()
        damage = published.publication_damage(folder.name, "")
        assert damage.startswith(f"{serving / name} does not lead to ")
        shutil.copytree(folder / "roles", serving / name)
        assert published.publication_damage(folder.name, "") == damage
        publication = publish(published)
        folder = (serving / "current").resolve()
        assert published.publication_damage(publication, "") == ""
    (folder / module.RECORD).write_text("{")
    assert module.RECORD in published.publication_damage(folder.name, "")
    shutil.rmtree(folder)
    assert "is missing" in published.publication_damage(folder.name, "")
    assert published.publication_damage(publish(published), "") == ""


def test_a_copy_that_followed_the_links_is_published_anew(
    published: Publications, tmp_path: Path
) -> None:
    copy = Publications(tmp_path / "copy")
    shutil.copytree(published.serving, copy.serving)  # follows them
    assert copy.kept_publications()[0] == ""
    publication = publish(copy)
    assert copy.publication_damage(publication, "") == ""
    for name in FILES:
        assert (copy.serving / name).samefile(copy.serving / "current" / name)


def test_readers_and_closed_files_are_no_damage(
    published: Publications, folder: Path
) -> None:
    with duckdb.connect(str(folder / FILES[2]), read_only=True):
        assert published.publication_damage(folder.name, "") == ""
    (folder / FILES[3]).chmod(0)
    assert published.publication_damage(folder.name, "") == ""


def test_the_next_publication_is_later_whatever_the_clock_says(
    published: Publications, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        """A clock with a fixed time."""

        year_now = 2000

        @classmethod
        def now(cls, tz: object = None) -> "Clock":
            """Return the first of January."""
            assert tz is timezone.utc
            return cls(cls.year_now, 1, 1, tzinfo=timezone.utc)

    monkeypatch.setattr(module, "datetime", Clock)
    ids = published.kept_publications()[::-1]
    for year in (2000, 2099, 2000, 2000):
        Clock.year_now = year
        ids.append(publish(published))
        assert published.kept_publications() == [ids[-1], ids[-2]]
    assert ids == sorted(set(ids))
    (published.serving / "publications" / "zz backup").mkdir()
    known = "21000101T000000000000Z"
    assert published.next_publication(known) == "21000101T000000000001Z"


def mode(path: Path) -> int:
    """Return the mode of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_published_is_closed_until_its_administrator_opens_it(
    published: Publications, folder: Path
) -> None:
    serving = published.serving
    for path in (serving, folder.parent, folder, folder / "roles"):
        assert mode(path) == 0o750, path
    assert [mode(folder / name) for name in FILES] == [0o600, 0o600, 0o640, 0o640]

    chosen = {
        ".": 0o751,
        "roles": 0o2755,
        "roles/analyst.duckdb": 0o644,
        COPY: 0o640,
    }
    for name, wanted in chosen.items():
        (folder / name).chmod(wanted)
    if os.geteuid() == 0:
        os.chown(folder / FILES[2], 65534, 65534)
    publish(published, 3, *FILES, "roles/new.duckdb")
    now = (serving / "current").resolve()
    assert now != folder
    assert {name: mode(now / name) for name in chosen} == chosen
    assert mode(now / FILES[3]) == mode(now / "roles/new.duckdb") == 0o640
    held, was = (now / FILES[2]).stat(), (folder / FILES[2]).stat()
    assert (held.st_uid, held.st_gid) == (was.st_uid, was.st_gid)
    assert published.publication_damage(now.name, "") == ""


# In words


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            'IO Error: Could not write file "/a b/x.duckdb": No space left on device',
            "The disk is full: /a b/x.duckdb. Free some space",
        ),
        (
            "Invalid Input: OSError: [Errno 28] No space left on device: '/s/.begun'",
            "The disk is full: /s/.begun. ",
        ),
        ('Could not write file "/x": File too large', "The disk is full: /x. "),
        ("database or disk is full", "The disk is full: /home. "),
        ("OSError: [Errno 30] Read-only file system: '/s/x'", "/s/x cannot be written"),
        ("attempt to write a readonly database", "/home cannot be written. "),
        (
            'IO Error: Cannot open file "/a b/lake/data/ducklake-01a2-9f.parquet": No'
            " such file or directory",
            "/a b/lake/data/ducklake-01a2-9f.parquet is lost or damaged. Restore",
        ),
        (
            "Parquet footer length stored in file is not equal to footer length given",
            "A file in /home/lake is damaged. Restore",
        ),
        (
            "HTTP Error: HTTP GET error reading 's3://b/lake/marts/t/ducklake-01.parquet'"
            " in region 'us-east-1' (HTTP 404 Not Found)",
            "s3://b/lake/marts/t/ducklake-01.parquet is lost. Restore the lake",
        ),
        (
            "HTTP Error: HTTP GET error reading 's3://b/lake/marts/t/ducklake-01.parquet'"
            " in region 'us-east-1' (HTTP 503 Service Unavailable)",
            "The object store did not do what was asked",
        ),
        ("database disk image is malformed", "The catalogue of the lake is damaged. "),
        ("Cannot open file '/home/landing/songs/songs.parquet'", ""),
        ("Got 1 result, configured to fail if != 0", ""),
    ],
)
def test_what_broke_and_what_to_do_is_one_line(error: str, said: str) -> None:
    line = remedy(error, Path("/home"))
    assert line.startswith(said)
    assert bool(line) == bool(said)
    assert "\n" not in line
    assert not said or "run the same command again" in line or "`dbt build`" in line


def test_no_catalogue_is_made_beside_the_files_of_a_lost_one(tmp_path: Path) -> None:
    refuse_lost_catalogue(tmp_path)
    (tmp_path / "data" / "marts").mkdir(parents=True)
    refuse_lost_catalogue(tmp_path)
    (tmp_path / "data" / "marts" / "ducklake-1.parquet").touch()
    catalogue = tmp_path / "catalog.sqlite"
    with pytest.raises(LostCatalogueError, match=re.escape(str(catalogue))):
        refuse_lost_catalogue(tmp_path)
    catalogue.touch()
    with pytest.raises(LostCatalogueError, match="is missing or empty"):
        refuse_lost_catalogue(tmp_path)
    catalogue.write_bytes(b"SQLite")
    refuse_lost_catalogue(tmp_path)
