"""The Python environment of the competitors, Spark and dlt."""

import shutil
import subprocess
import sys
from pathlib import Path

from deftunes.settings import PROJECT

from benchmark import process

HERE = Path(__file__).parent
_REQUIREMENTS = HERE / "requirements.txt"


def python(folder: Path) -> Path:
    """Return the Python that has Spark and dlt; install them if they are missing.

    Args:
        folder: the folder of the environment.

    Raises:
        CommandError: they cannot be installed.

    """
    environment = folder / "venv"
    installed = environment / _REQUIREMENTS.name
    interpreter = environment / "bin" / "python"
    if not installed.exists() or installed.read_bytes() != _REQUIREMENTS.read_bytes():
        uv = Path(sys.executable).with_name("uv")
        commands: tuple[list[str | Path], ...] = (
            [uv, "venv", "--clear", "--python", sys.executable, environment],
            [
                *(uv, "pip", "install", "--require-hashes", "--python", interpreter),
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
    return interpreter


def java() -> str | None:
    """Return the version of Java, which Spark needs; None if it is not installed."""
    program = shutil.which("java")
    if program is None:
        return None
    result = subprocess.run(  # noqa: S603 - a fixed argument
        [program, "-version"], capture_output=True, text=True, check=False
    )
    return result.stderr.splitlines()[0] if result.returncode == 0 else None
