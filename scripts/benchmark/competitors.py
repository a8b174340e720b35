"""The environment of what the benchmark compares with: Spark and dlt."""

import shutil
import subprocess
import sys
from pathlib import Path

from deftunes.settings import PROJECT

from benchmark import process

HERE = Path(__file__).parent
_REQUIREMENTS = HERE / "requirements.txt"


def python(folder: Path) -> Path:
    """Return the Python that has Spark and dlt; installs them if need be.

    Args:
        folder: what holds the environment.

    Raises:
        CommandError: they cannot be installed.

    """
    place = folder / "venv"
    installed = place / _REQUIREMENTS.name
    found = place / "bin" / "python"
    if not installed.exists() or installed.read_bytes() != _REQUIREMENTS.read_bytes():
        uv = Path(sys.executable).with_name("uv")
        commands: tuple[list[str | Path], ...] = (
            [uv, "venv", "--clear", "--python", sys.executable, place],
            [
                *(uv, "pip", "install", "--require-hashes", "--python", found),
                *("--requirements", _REQUIREMENTS),
            ],
        )
        for command in commands:
            process.run(
                command,
                folder=PROJECT,
                environment=process.clean_environment(),
                log=folder / "venv.log",
            )
        shutil.copy(_REQUIREMENTS, installed)
    return found


def java() -> str | None:
    """Return the version of Java, which Spark needs; None where there is none."""
    program = shutil.which("java")
    if program is None:
        return None
    said = subprocess.run(  # noqa: S603 - a fixed argument
        [program, "-version"], capture_output=True, text=True, check=False
    )
    return said.stderr.splitlines()[0] if said.returncode == 0 else None
