"""The published files in a bucket.

Each publication has a folder of its own in `serving/publications/`. The small object
`serving/current` names the one that readers open. It is replaced last, by one request.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deftunes.object_store import ObjectStore

_SERVING = "serving"
_CURRENT = f"{_SERVING}/current"
_PUBLICATIONS = f"{_SERVING}/publications"
_JOURNAL = f"{_SERVING}/.begun"


class PublishedObjectsError(Exception):
    """The published objects are not what was published; the message says what to do."""


@dataclass(frozen=True)
class Current:
    """The content of the object `current`.

    Attributes:
        publication: the id of the publication that readers open; empty before the
            first one.
        previous: the id of the one before, for a rollback; empty if there is none.
        files: size in bytes and ETag of its files, by name.

    """

    publication: str = ""
    previous: str = ""
    files: dict[str, list[int | str]] = field(default_factory=dict)


class PublishedObjects:
    """The published files of a lakehouse in a bucket."""

    def __init__(self, store: ObjectStore) -> None:
        """Set the store; nothing is read yet."""
        self.store = store

    def current(self) -> Current:
        """Return what readers open.

        Raises:
            PublishedObjectsError: the object `current` cannot be understood.
            ObjectStoreError: the store refuses to give it.

        """
        content = self.store.read(_CURRENT)
        try:
            return Current() if content is None else Current(**json.loads(content))
        except (TypeError, ValueError):
            raise PublishedObjectsError(
                f"{self.store.url(_CURRENT)} is damaged. Remove it: the next build "
                "publishes again."
            ) from None

    def begin(self, journal: str) -> None:
        """Keep the journal of unfinished publications for other machines."""
        self.store.write(_JOURNAL, journal.encode())

    def begun(self) -> str:
        """Return the journal of unfinished publications."""
        return (self.store.read(_JOURNAL) or b"").decode()

    def publish(self, folder: Path, names: list[str], previous: str) -> None:
        """Upload a publication, and then make it the one that readers open.

        Args:
            folder: the publication; its name is the id.
            names: its files, relative to the folder.
            previous: the id of the publication before.

        Raises:
            ObjectStoreError: the store refuses it.

        """
        for name in names:
            self.store.upload(f"{_PUBLICATIONS}/{folder.name}/{name}", folder / name)
        files = self._files(folder.name)
        self._write(
            Current(folder.name, previous, {name: files[name] for name in names})
        )

    def download(self, publication: str, names: list[str], folder: Path) -> None:
        """Write files of a publication to a folder.

        Raises:
            ObjectStoreError: there is no such file, or the store refuses to give it.

        """
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self.store.download(f"{_PUBLICATIONS}/{publication}/{name}", folder / name)

    def damage(self) -> str:
        """Return the first damage found in the current publication, or an empty text.

        Costs two requests.
        """
        current = self.current()
        found = self._files(current.publication)
        for name, stamp in current.files.items():
            url = self.store.url(f"{_PUBLICATIONS}/{current.publication}/{name}")
            if name not in found:
                return f"{url} is missing"
            if found[name] != stamp:
                return f"{url} was changed"
        return ""

    def settle(self) -> None:
        """Remove all publications but the current one and the one before."""
        current = self.current()
        kept = {current.publication, current.previous}
        start = len(_PUBLICATIONS) + 1
        self.store.delete(
            name
            for name in self.store.objects(_PUBLICATIONS)
            if name[start:].partition("/")[0] not in kept
        )
        self.store.delete([_JOURNAL])

    def forget_previous(self) -> None:
        """Remove all publications but the current one."""
        current = self.current()
        if current.publication:
            self._write(Current(current.publication, "", current.files))
        self.settle()

    def _files(self, publication: str) -> dict[str, list[int | str]]:
        """Return size and ETag of the files of a publication, by name."""
        folder = f"{_PUBLICATIONS}/{publication}"
        return {
            name[len(folder) + 1 :]: [stamp.size, stamp.tag]
            for name, stamp in self.store.objects(folder).items()
        }

    def _write(self, current: Current) -> None:
        self.store.write(_CURRENT, json.dumps(asdict(current)).encode())
