"""Set up what pip cannot install for target spark: jars, dbt's plugin, extensions.

Runs with the Python of .venv-spark. Ivy, which comes with Spark, fetches the jars from
Maven Central.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from deftunes.object_store import SCHEME
from deftunes.settings import PROJECT, Settings, SettingsError
from deftunes.setup import SetupError, set_up_extensions

# Maven Central is Ivy's default.
_IVY_SETTINGS = """<ivysettings>
  <settings defaultResolver="central"/>
  <resolvers><ibiblio name="central" m2compatible="true"/></resolvers>
</ivysettings>"""
_IVY_JARS = """<ivy-module version="2.0" xmlns:m="http://ant.apache.org/ivy/maven">
  <info organisation="deftunes" module="jars"/>
  <dependencies>{}</dependencies>
</ivy-module>"""
_IVY_MODULE = """<dependency org="{}" name="{}" rev="{}" transitive="false">{}
</dependency>"""
_IVY_JAR = """<artifact name="{}" type="jar" m:classifier="{}"/>"""


def main() -> int:
    """Set up everything, print what has changed, and return the exit code."""
    try:
        check_java()
        listed = Path(__file__).with_name("jars.txt")
        done = [set_up_jars(PROJECT / ".venv-spark" / "jars", listed, _left_out())]
        done.append(set_up_extensions(("avro", "iceberg")))
        # So that dbt finds the plugin dbt_lock.py.
        (Path(sysconfig.get_path("purelib")) / "deftunes.pth").write_text(
            f"{PROJECT / 'scripts'}\n{PROJECT / 'scripts' / 'spark'}\n", "utf-8"
        )
    except (SetupError, SettingsError) as error:
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


def _left_out() -> set[str]:
    """Return the jars that are not needed, as in profiles.yml: 60 MB."""
    settings = Settings.from_environment()
    is_in_bucket = (settings.spark_data or "").startswith(SCHEME)
    return set() if is_in_bucket or settings.spark_catalogue == "rest" else {"aws.jar"}


def set_up_jars(folder: Path, listed: Path, left_out: Collection[str] = ()) -> str:
    """Fetch the jars that are missing or damaged.

    Args:
        folder: where they are to be.
        listed: a file with a line for each one: its Maven coordinates, that is group,
            artifact, version, and perhaps a classifier; its SHA-256; its name.
        left_out: the names of jars that are not fetched.

    Returns:
        A sentence that says which were fetched; empty if none was.

    Raises:
        SetupError: a jar cannot be fetched, or is not the one with this checksum.

    """
    lines = listed.read_text("utf-8").splitlines()
    jars = [line.split() for line in lines if line and not line.startswith("#")]
    missing = [
        jar
        for jar in jars
        if jar[2] not in left_out and _checksum(folder / jar[2]) != jar[1]
    ]
    if not missing:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        output = _fetch([jar[0] for jar in missing], Path(temporary))
        for coordinates, checksum, name in missing:
            fetched = Path(temporary, "-".join(coordinates.split(":")[1:]) + ".jar")
            if not fetched.exists():
                raise SetupError(
                    f"{coordinates} cannot be fetched from Maven Central:\n"
                    + output[-1000:]
                )
            if _checksum(fetched) != checksum:
                raise SetupError(
                    f"{coordinates} is not the jar whose checksum is in "
                    f"{listed.name}, so it was not installed."
                )
            shutil.move(fetched, folder / name)
    return f"The jars {', '.join(jar[2] for jar in missing)} were fetched."


def _fetch(jars: Iterable[str], folder: Path) -> str:
    """Have Ivy put jars into a folder, and return what it said."""
    (folder / "settings.xml").write_text(_IVY_SETTINGS)
    modules: dict[tuple[str, ...], str] = {}
    for jar in jars:
        group, artifact, version, *classifier = jar.split(":")
        listed = modules.setdefault((group, artifact, version), "")
        modules[group, artifact, version] = listed + _IVY_JAR.format(
            artifact, "".join(classifier)
        )
    dependencies = (_IVY_MODULE.format(*key, listed) for key, listed in modules.items())
    (folder / "ivy.xml").write_text(_IVY_JARS.format("".join(dependencies)))
    ended = subprocess.run(  # noqa: S603  no argument comes from a user
        [
            *("java", "-cp", Path(sysconfig.get_path("purelib"), "pyspark/jars/*")),
            *("org.apache.ivy.Main", "-settings", folder / "settings.xml"),
            *("-cache", folder / "cache", "-ivy", folder / "ivy.xml", "-retrieve"),
            folder / "[artifact]-[revision](-[classifier]).[ext]",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.stdout


def _checksum(file: Path) -> str:
    """Return the SHA-256 of a file; empty if there is none."""
    if not file.exists():
        return ""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
