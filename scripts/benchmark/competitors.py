"""The Python environment of the competitor, dlt."""

import shutil
import sys
from pathlib import Path

from deftunes.settings import PROJECT

from benchmark import process

HERE = Path(__file__).parent
_REQUIREMENTS = HERE / "requirements.txt"


def python(folder: Path) -> Path:
    """Return the Python that has dlt; install it if it is missing.

    Args:
        folder: the folder of the environment.

    Raises:
        CommandError: it cannot be installed.

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
