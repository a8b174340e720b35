"""Sets up what pip cannot: dbt's packages and DuckDB's extensions."""

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
# The package that comes along when dbt_expectations is the genuine one.
DEPENDENCY = "dbt_date"
# The file that only the stand-in has.
MARKER = "STAND_IN.md"
# What dbt says when a request to the hub, or to where it points, came to nothing.
UNREACHABLE = "External connection exception occurred"
# Seconds. dbt itself gives up after about eight where the hub's name does not resolve,
# but only after minutes where a firewall swallows its requests.
HUB_LIMIT = 30.0

logger = logging.getLogger(__name__)


class SetupError(Exception):
    """Set-up cannot be finished; the message says why and what to do."""


def set_up_packages(project: Path, limit: float = HUB_LIMIT) -> str:
    """Put dbt's packages into `dbt_packages/`: from the hub, or the stand-in.

    The hub is asked only where no package is in place yet.

    Args:
        project: the folder of `dbt_project.yml` and `packages.yml`.
        limit: how long the hub may take, in seconds.

    Returns:
        A sentence: what is in place now, and where it came from.

    Raises:
        SetupError: `dbt deps` failed for a reason other than an unreachable hub.

    """
    stand_in = project / "scripts" / "packages" / PACKAGE
    installed = project / "dbt_packages" / PACKAGE
    if (installed / MARKER).exists():
        if _contents(installed) == _contents(stand_in):
            return f"The stand-in for {PACKAGE} is in place."
        _replace(installed, stand_in)
        return f"The stand-in for {PACKAGE} had changed and was copied again."
    if all((installed.parent / name).exists() for name in (PACKAGE, DEPENDENCY)):
        return f"The package {PACKAGE} is in place."
    if _install_from_hub(project, limit):
        return f"The package {PACKAGE} was installed from dbt's package hub."
    _replace(installed, stand_in)
    return (
        f"The hub of dbt's packages cannot be reached: the stand-in for {PACKAGE} "
        "takes its place. (`dbt deps` installs the genuine one.)"
    )


def set_up_extensions(
    extensions: tuple[str, ...] = EXTENSIONS, folder: Path | None = None
) -> str:
    """Install the DuckDB extensions that cannot be loaded, from their PyPI packages.

    Args:
        extensions: the extensions' names.
        folder: DuckDB's extension folder; None for the user's own.

    Returns:
        A sentence: which extensions were installed now, or that none needed to be.

    Raises:
        SetupError: another DuckDB than the pinned one is here, or an extension can be
            neither loaded nor installed.

    """
    check_duckdb(duckdb.__version__)
    installed = []
    # Otherwise LOAD goes to DuckDB's extension server before it fails.
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

                    # By force: what is there may be broken.
                    import_extension(name, force_install=True, con=connection)
                    connection.load_extension(name)
                except (duckdb.Error, ImportError) as error:
                    raise SetupError(
                        f"DuckDB's extension {name} cannot be installed: {error}"
                    ) from error
                installed.append(name)
    if installed:
        return f"DuckDB's extensions {', '.join(installed)} were installed."
    return "DuckDB's extensions are in place."


def check_duckdb(version: str) -> None:
    """Require the DuckDB that is pinned: extensions are made for one version.

    Args:
        version: that of the DuckDB at hand.

    Raises:
        SetupError: it is another one.

    """
    wanted = re.search(
        r"^duckdb==(\S+)", (PROJECT / "requirements.in").read_text("utf-8"), re.M
    )
    if wanted and wanted[1] != version:
        raise SetupError(
            f"DuckDB {version} is installed, but the project needs {wanted[1]}. "
            "Install what is pinned: rm -r .venv; make setup"
        )


def _install_from_hub(project: Path, limit: float) -> bool:
    """Run `dbt deps`; return whether the hub could be reached."""
    log = project / "logs" / "setup.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("w+", encoding="utf-8") as output:
        try:
            subprocess.run(  # noqa: S603 (nothing of it is given by a user)
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
            said = output.read().strip()
            if UNREACHABLE in said:
                return False
            raise SetupError(
                f"`dbt deps` failed; {log} says it all. It ends with:\n"
                + "\n".join(said.splitlines()[-5:])
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
    """Make `target` a copy of `source`, whatever it was before."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
