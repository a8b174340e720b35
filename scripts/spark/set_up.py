"""Set up what pip cannot install for target spark: jars, dbt's plugin, extensions.

Runs with the Python of .venv-spark. Spark itself fetches the jars, from Maven Central.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from deftunes.settings import PROJECT
from deftunes.setup import SetupError, set_up_extensions

# Maven Central is Ivy's default; Spark would also ask another server.
_IVY_SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true"/></resolvers>
</ivysettings>"""
# Spark starts, fetches the jars and ends.
_FETCH = """
import sys
from pyspark.sql import SparkSession
SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config(
    "spark.jars.packages", sys.argv[1]
).config("spark.jars.ivy", sys.argv[2]).config(
    "spark.jars.ivySettings", sys.argv[3]
).getOrCreate().stop()
"""


def main() -> int:
    """Set up everything, print what has changed, and return the exit code."""
    try:
        check_java()
        done = [set_up_jars(PROJECT / ".venv-spark" / "jars")]
        done.append(set_up_extensions(("avro", "iceberg")))
        # So that dbt finds the plugin dbt_lock.py.
        (Path(sysconfig.get_path("purelib")) / "deftunes.pth").write_text(
            f"{PROJECT / 'scripts'}\n{PROJECT / 'scripts' / 'spark'}\n", "utf-8"
        )
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    print(*filter(None, done), sep="\n", end="\n" if any(done) else "")
    return 0


def check_java() -> None:
    """Check that there is a Java.

    Raises:
        SetupError: there is none.

    """
    if not shutil.which("java"):
        raise SetupError(
            "Spark needs Java 17 or 21, and there is none on the PATH. Install it: "
            "apt-get install openjdk-17-jre-headless"
        )


def set_up_jars(folder: Path) -> str:
    """Fetch the jars that are missing or damaged.

    Args:
        folder: where they are to be.

    Returns:
        A sentence that says which were fetched; empty if none was.

    Raises:
        SetupError: a jar cannot be fetched, or is not the one with this checksum.

    """
    lines = (Path(__file__).with_name("jars.txt")).read_text("utf-8").splitlines()
    jars = [line.split() for line in lines if line and not line.startswith("#")]
    missing = [jar for jar in jars if _checksum(folder / jar[2]) != jar[1]]
    if not missing:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        settings = Path(temporary) / "ivysettings.xml"
        settings.write_text(_IVY_SETTINGS)
        ended = subprocess.run(  # noqa: S603  no argument comes from a user
            [
                *(sys.executable, "-c", _FETCH),
                *(",".join(jar[0] for jar in missing), temporary, str(settings)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        for coordinates, checksum, name in missing:
            group, artifact, version = coordinates.split(":")
            jar = Path(temporary) / "jars" / f"{group}_{artifact}-{version}.jar"
            if not jar.exists():
                raise SetupError(
                    f"{coordinates} cannot be fetched from Maven Central:\n"
                    + ended.stderr[-1000:]
                )
            if _checksum(jar) != checksum:
                raise SetupError(
                    f"{coordinates} is not the jar whose checksum is in "
                    "scripts/spark/jars.txt, so it was not installed."
                )
            shutil.move(jar, folder / name)
    return f"The jars {', '.join(jar[2] for jar in missing)} were fetched."


def _checksum(file: Path) -> str:
    """Return the SHA-256 of a file; empty if there is none."""
    if not file.exists():
        return ""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
