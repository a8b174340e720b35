"""Installs what pip cannot install: dbt's packages and DuckDB's extensions."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

from deftunes.settings import PROJECT

EXTENSIONS = ("ducklake", "httpfs", "sqlite_scanner", "postgres_scanner")
PACKAGE = "dbt_expectations"
# The real dbt_expectations installs this package too.
DEPENDENCY = "dbt_date"
# Only the stand-in has this file.
MARKER = "STAND_IN.md"
# dbt's message when it cannot reach the hub, or the server that the hub points to.
UNREACHABLE = "External connection exception occurred"
# Seconds. dbt itself gives up after about 8 s if the hub's name does not resolve, but
# only after minutes if a firewall drops its requests.
HUB_LIMIT = 30.0

logger = logging.getLogger(__name__)


class SetupError(Exception):
    """Set-up failed; the message says why and what to do."""


def set_up_packages(project: Path, limit: float = HUB_LIMIT) -> str:
    """Install dbt's packages into `dbt_packages/`, from the hub or from the stand-in.

    The hub is asked only if no package is installed yet.

    Args:
        project: the folder of `dbt_project.yml` and `packages.yml`.
        limit: how long the hub may take, in seconds.

    Returns:
        A sentence that says what was installed and where it came from; empty if all
        was installed already.

    Raises:
        SetupError: `dbt deps` failed for a reason other than an unreachable hub.

    """
    stand_in = project / "scripts" / "packages" / PACKAGE
    installed = project / "dbt_packages" / PACKAGE
    if (installed / MARKER).exists():
        if _contents(installed) == _contents(stand_in):
            return ""
        _replace(installed, stand_in)
        return f"The stand-in for {PACKAGE} had changed and was copied again."
    if all((installed.parent / name).exists() for name in (PACKAGE, DEPENDENCY)):
        return ""
    if _install_from_hub(project, limit):
        return f"The package {PACKAGE} was installed from dbt's package hub."
    _replace(installed, stand_in)
    return (
        f"dbt's package hub cannot be reached: the stand-in for {PACKAGE} was "
        "installed. (`dbt deps` installs the real package.)"
    )


def set_up_extensions(
    extensions: tuple[str, ...] = EXTENSIONS, folder: Path | None = None
) -> str:
    """Install the DuckDB extensions that cannot be loaded, from their PyPI packages.

    Args:
        extensions: the names of the extensions.
        folder: DuckDB's extension folder; None for the user's default folder.

    Returns:
        A sentence that says which extensions were installed; empty if all were
        installed already.

    Raises:
        SetupError: the installed DuckDB is not the pinned version, or an extension can
            be neither loaded nor installed.

    """
    check_duckdb(duckdb.__version__)
    installed = []
    # Otherwise LOAD asks DuckDB's extension server before it fails.
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as connection:
        if folder:
            connection.execute("set extension_directory = ?", [str(folder)])
        for name in extensions:
            try:
                connection.load_extension(name)
            except duckdb.Error as absent:
                logger.debug("%s cannot be loaded: %s", name, absent)
                try:
                    from duckdb_extensions import (  # type: ignore[import-untyped]
                        import_extension,
                    )

                    # Forced, since the installed file may be damaged.
                    import_extension(name, force_install=True, con=connection)
                    connection.load_extension(name)
                except (duckdb.Error, ImportError) as error:
                    raise SetupError(
                        f"DuckDB's extension {name} cannot be installed: {error}"
                    ) from error
                installed.append(name)
    if installed:
        return f"DuckDB's extensions {', '.join(installed)} were installed."
    return ""


def check_duckdb(version: str) -> None:
    """Check that DuckDB has the pinned version, since extensions need exactly that one.

    Args:
        version: the installed version.

    Raises:
        SetupError: it is not the pinned version.

    """
    pinned = re.search(
        r"^duckdb==(\S+)", (PROJECT / "requirements.in").read_text("utf-8"), re.M
    )
    if pinned and pinned[1] != version:
        raise SetupError(
            f"DuckDB {version} is installed, but the project needs {pinned[1]}. "
            "Install the pinned packages: rm -r .venv; make setup"
        )


def _install_from_hub(project: Path, limit: float) -> bool:
    """Run `dbt deps`; return False if the hub cannot be reached."""
    log = project / "logs" / "setup.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w+", encoding="utf-8") as output:
        try:
            subprocess.run(  # noqa: S603 (no argument comes from a user)
                [Path(sys.executable).with_name("dbt"), "deps"],
                cwd=project,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit,
                check=True,
            )
        except subprocess.TimeoutExpired:
            return False
        except subprocess.CalledProcessError as error:
            output.seek(0)
            text = output.read().strip()
            if UNREACHABLE in text:
                return False
            raise SetupError(
                f"`dbt deps` failed. Its full output is in {log} and ends with:\n"
                + "\n".join(text.splitlines()[-5:])
            ) from error
    return True


def _contents(folder: Path) -> dict[Path, bytes]:
    """Return the files of a folder by their relative paths."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _replace(target: Path, source: Path) -> None:
    """Replace the folder `target` by a copy of `source`."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
