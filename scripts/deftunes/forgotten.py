"""The people who were forgotten: nothing tells who they are, but they are recognised.

`landing/.forgotten.json` holds a random key and what it makes of the people's ids, and
of their records that lack one: digests, which say nothing without the key and what they
were made of. So what a source delivers of them again is erased before it lands. Once
the sources have forgotten them too the file may go, and with it the last tie between an
id and its pseudonym.
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

PSEUDONYM = "forgotten-"
"""What a pseudonym begins with; the digest of the id follows."""

USER_WITHOUT_ID = (
    "to_json([user_name, user_lastname, cast(user_location as varchar), user_since,"
    " _rescued, _payload])"
)
"""The SQL expression of what a user's record says besides the id."""

_FILE = ".forgotten.json"
_DIGITS = 32

# A text names a person in quotes, as a number, or within other text, where short words
# are too common to be ids. Each is a regular expression and the group that counts.
_TOKENS = (
    (r'"(?:[^"\\]|\\.)*"', 0),
    (r'"user_id"\s*:\s*(\w+)', 1),
    ("[A-Za-z0-9_-]{8,}", 0),
)


@dataclass(frozen=True)
class Forgotten:
    """Who was forgotten.

    Attributes:
        key: what makes digests, 64 hexadecimal digits.
        digests: those of ids, and of users' records without an id.

    """

    key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    digests: frozenset[str] = frozenset()

    @classmethod
    def of(cls, landing: Path) -> "Forgotten":
        """Return who was forgotten in a landing zone."""
        file = landing / _FILE
        if not file.exists():
            return cls()
        held = json.loads(file.read_text())
        return cls(held["key"], frozenset(held["digests"]))

    def write(self, landing: Path) -> None:
        """Keep this in a landing zone, in one step and for its owner's eyes only."""
        building = landing / f"{_FILE}.building"
        building.unlink(missing_ok=True)
        with os.fdopen(os.open(building, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            json.dump({"key": self.key, "digests": sorted(self.digests)}, file)
            file.flush()
            os.fsync(file.fileno())
        building.replace(landing / _FILE)

    def digest(self, text: str) -> str:
        """Return what is kept of a text."""
        inner = hashlib.sha256((self.key + text).encode()).hexdigest()
        outer = hashlib.sha256((self.key + inner).encode()).hexdigest()
        return outer[:_DIGITS]

    def with_digests(self, *digests: str) -> "Forgotten":
        """Return this with more digests."""
        return replace(self, digests=self.digests.union(digests))

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
        if not self.digests or entity not in ENTITIES:
            return rows
        theirs, tells = self._is_theirs(entity), self.tells(entity)
        rows = rows.filter(f"not (_payload is not null and {tells})")
        if entity == "users":
            return rows.filter(f"not {theirs}").select(
                f"* replace (if({tells}, null, _rescued) as _rescued)"
            )
        # An item without its text stays rejected and in its place.
        items = (
            "list_transform(session_items, lambda item: struct_update(item,"
            " _rescued := cast(null as varchar),"
            " _payload := if(item._payload is null, null, '{}')))"
        )
        pseudonym = f"'{PSEUDONYM}' || {self.digest_of('user_id')}"
        return rows.select(
            "* replace ("
            f"if({theirs}, {pseudonym}, user_id) as user_id,"
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
        digests = (
            f"list_transform(flatten([{tokens}]),"
            f" lambda token: {self.digest_of(plain)})"
        )
        return (
            f"({self._is_theirs(entity)} or list_has_any({digests}, [{self._digests}]))"
        )

    def digest_of(self, text: str) -> str:
        """Return the SQL expression of the digest of a SQL expression."""
        inner = f"sha256('{self.key}' || {text})"
        return f"left(sha256('{self.key}' || {inner}), {_DIGITS})"

    def _is_theirs(self, entity: str) -> str:
        """Return the SQL condition of a forgotten person's own row."""
        condition = f"{self.digest_of('user_id')} in ({self._digests})"
        if entity == "users":
            condition += (
                " or (coalesce(user_id, '') = ''"
                f" and {self.digest_of(USER_WITHOUT_ID)} in ({self._digests}))"
            )
        return f"coalesce({condition}, false)"

    @property
    def _digests(self) -> str:
        return ", ".join(f"'{digest}'" for digest in sorted(self.digests))
