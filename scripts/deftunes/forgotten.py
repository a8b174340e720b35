"""The people who were forgotten: nothing tells who they are, but they are recognised.

`landing/.forgotten.json` holds a random key and, of each person, the pseudonym that
the key makes of their id. What a source delivers of them again is erased before it
lands. Once the sources have forgotten them too the file may go, and with it the last
tie between an id and its pseudonym.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from duckdb import DuckDBPyRelation

ENTITIES = ("users", "sessions")
"""What tells of people."""

_FILE = ".forgotten.json"
_DIGITS = 32

# A text names a person in quotes, as JSON does, as a number, or within a longer text,
# where short words are too common to be ids. Patterns of RE2, and the group that counts.
_TOKENS = (
    (r'"(?:[^"\\]|\\.)*"', 0),
    (r'"user_id"\s*:\s*(\w+)', 1),
    ("[A-Za-z0-9_-]{8,}", 0),
)


@dataclass(frozen=True)
class Forgotten:
    """Who was forgotten.

    Attributes:
        key: what makes pseudonyms of ids, 64 hexadecimal digits.
        people: the pseudonyms.

    """

    key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    people: frozenset[str] = frozenset()

    @classmethod
    def of(cls, landing: Path) -> "Forgotten":
        """Return who was forgotten in a landing zone."""
        file = landing / _FILE
        if not file.exists():
            return cls()
        held = json.loads(file.read_text())
        return cls(held["key"], frozenset(held["people"]))

    def write(self, landing: Path) -> None:
        """Keep this in a landing zone, in one step and for its owner's eyes only."""
        building = landing / f"{_FILE}.building"
        building.unlink(missing_ok=True)
        with os.fdopen(os.open(building, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump({"key": self.key, "people": sorted(self.people)}, file)
            file.flush()
            os.fsync(file.fileno())
        building.replace(landing / _FILE)

    def pseudonym(self, user_id: str) -> str:
        """Return what stands in the place of an id."""
        inner = hashlib.sha256((self.key + user_id).encode()).hexdigest()
        outer = hashlib.sha256((self.key + inner).encode()).hexdigest()
        return f"forgotten-{outer[:_DIGITS]}"

    def with_person(self, user_id: str) -> "Forgotten":
        """Return this with one person more."""
        return replace(self, people=self.people | {self.pseudonym(user_id)})

    def erase(self, entity: str, rows: DuckDBPyRelation) -> DuckDBPyRelation:
        """Return landed rows without what they tell of forgotten people.

        Their users go. Their sessions stay, for the books, under the pseudonym and
        without the browser. What no column could take is text that may tell anything:
        it goes wherever it belongs to such a session or names such a person.

        Args:
            entity: what the rows are.
            rows: the rows, with the columns that `deftunes.api` gives.

        Returns:
            The rows that stay, with the same columns.

        """
        if not self.people or entity not in ENTITIES:
            return rows
        theirs, tells = self._is_theirs, self.tells(entity)
        if entity == "users":
            return rows.filter(
                f"not ({theirs} or (_payload is not null and {tells}))"
            ).select(f"* replace (if({tells}, null, _rescued) as _rescued)")
        # An item without its text stays rejected and in its place.
        items = (
            "list_transform(session_items, lambda item: struct_update(item,"
            " _rescued := cast(null as varchar),"
            " _payload := if(item._payload is null, null, '{}')))"
        )
        return rows.filter(f"not (_payload is not null and {tells})").select(
            "* replace ("
            f"if({theirs}, {self._pseudonym('user_id')}, user_id) as user_id,"
            f"if({theirs}, null, user_agent) as user_agent,"
            f"if({tells}, {items}, session_items) as session_items,"
            f"if({tells}, null, _rescued) as _rescued)"
        )

    def tells(self, entity: str) -> str:
        """Return the SQL condition of a landed row that tells of forgotten people.

        Args:
            entity: one of `ENTITIES`.

        """
        texts = "_payload, _rescued"
        if entity == "sessions":
            texts += "".join(
                ", array_to_string(list_transform("
                f"session_items, lambda item: item.{text}), ' ')"
                for text in ("_payload", "_rescued")
            )
        tokens = ", ".join(
            f"regexp_extract_all(concat_ws(' ', {texts}), '{pattern}', {group})"
            for pattern, group in _TOKENS
        )
        plain = "if(json_valid(token), json_extract_string(token, '$'), token)"
        pseudonyms = (
            f"list_transform(flatten([{tokens}]),"
            f" lambda token: {self._pseudonym(plain)})"
        )
        return f"({self._is_theirs} or list_has_any({pseudonyms}, [{self._people}]))"

    @property
    def _is_theirs(self) -> str:
        """The SQL condition of a forgotten person's own row."""
        return f"coalesce({self._pseudonym('user_id')} in ({self._people}), false)"

    @property
    def _people(self) -> str:
        return ", ".join(f"'{person}'" for person in sorted(self.people))

    def _pseudonym(self, user_id: str) -> str:
        """Return the SQL expression of what `pseudonym` says."""
        inner = f"sha256('{self.key}' || {user_id})"
        return f"'forgotten-' || left(sha256('{self.key}' || {inner}), {_DIGITS})"
