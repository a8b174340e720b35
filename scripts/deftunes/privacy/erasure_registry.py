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
import re
import secrets
import unicodedata
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

# However a UUID is written, it is one id: in capitals, in braces, as a URN.
_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}"
_WHOLE_UUID = (
    r"^(?:[uU][rR][nN]:[uU][uU][iI][dD]:)?\{?"
    + "-?".join(f"({_HEX}{{{digits}}})" for digits in (8, 4, 4, 4, 12))
    + r"\}?$"
)
_WRITTEN_UUID = r"\1-\2-\3-\4-\5"
_LEAST_LENGTH = 8
_VARIABLE = "DEFTUNES_PERSON_TO_FORGET"
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_BLANKS = " \t\n\r"

# A text names a person in quotes, as a number, or within other text, where short words
# are too common to be ids. Each is a regular expression and the group that counts.
_WORDS = (
    (_UUID, 0),
    ("[A-Za-z0-9_-]{8,}", 0),
    (r"\w[\w.@+:-]{6,}\w", 0),
)
_TOKENS = (
    (r'"(?:[^"\\]|\\.)*"', 0),
    (r'"user_id"\s*:\s*(\w+)', 1),
    *_WORDS,
)

# What people may type. Ids of songs and artists are no people's.
_USER_TEXTS = ("user_name", "user_lastname", "user_since")
_SESSION_TEXTS = ("session_id", "user_agent", "session_start_time")
_ITEM_TEXTS = ("song_name", "artist_name", "currency", "liked_since")


def canonical(user_id: str) -> str:
    """Return an id as it is compared: without blanks around it, a UUID as usual."""
    text = user_id.strip(_BLANKS)
    if re.search(_WHOLE_UUID, text):
        return re.sub(_WHOLE_UUID, _WRITTEN_UUID, text).lower()
    return text


def canonical_sql(text: str) -> str:
    """Return the SQL expression that does the same with a SQL expression."""
    trimmed = f"trim({text}, ' ' || chr(9) || chr(10) || chr(13))"
    return (
        f"if(regexp_matches({trimmed}, '{_WHOLE_UUID}'),"
        f" lower(regexp_replace({trimmed}, '{_WHOLE_UUID}', '{_WRITTEN_UUID}')),"
        f" {trimmed})"
    )


def _words(text: str) -> set[str]:
    """Return the words of a text, folded."""
    return {*re.findall(r"\w+", unicodedata.normalize("NFC", text.lower()))}


@dataclass(frozen=True)
class Person:
    """Who is to be forgotten.

    Attributes:
        user_id: the id.
        names: first and last names, folded.

    """

    user_id: str
    names: frozenset[tuple[str, str]] = frozenset()

    def remember(self) -> None:
        """Keep this for `of_environment`, in this process and its children."""
        os.environ[_VARIABLE] = json.dumps([self.user_id, *map(list, self.names)])

    @classmethod
    def of_environment(cls) -> "Person | None":
        """Return the person that was remembered, if any was."""
        held = os.environ.get(_VARIABLE)
        if held is None:
            return None
        user_id, *names = json.loads(held)
        return cls(user_id, frozenset((name, last) for name, last in names))

    def has_id(self, text: str) -> bool:
        """Tell whether a text is the id."""
        return canonical(text) == canonical(self.user_id)

    def is_told(self, text: str) -> bool:
        """Tell whether a text, such as JSON, names the person by the id or the name."""
        user_id = canonical(self.user_id)
        written = {user_id, self.user_id}
        if re.search(_WHOLE_UUID, user_id):
            text, written = text.lower(), {user_id, user_id.replace("-", "")}
        # Shorter ones are in many texts and numbers.
        if len(user_id) < _LEAST_LENGTH:
            written = {f'"{user_id}"'}
        words = _words(text)
        return any(word in text for word in written) or any(
            words >= _words(f"{name} {last}")
            for name, last in self.names
            if _words(name) and _words(last)
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
            rows: the rows, with the columns that `deftunes.landing.api` gives.

        Returns:
            The rows that stay, with the same columns.

        """
        if not self.digests or entity not in ENTITIES:
            return rows
        told = rows.select(
            f"*, {self._is_theirs(entity)} as _is_theirs,"
            f" {self.tells(entity)} as _tells"
        ).filter("not (_payload is not null and _tells)")
        erased = {"_rescued": "null"}
        if entity == "users":
            told = told.filter("not _is_theirs")
            erased |= {text: self._erased(text) for text in _USER_TEXTS}
            place = self._erased("word")
            erased["user_location"] = (
                f"list_transform(user_location, lambda word: {place})"
            )
        else:
            erased |= {text: self._erased(text) for text in _SESSION_TEXTS}
            agent = erased["user_agent"]
            erased["user_agent"] = f"case when _is_theirs then null else {agent} end"
            erased["user_id"] = (
                f"case when _is_theirs then {self._pseudonym('user_id')}"
                " else user_id end"
            )
            # An item without its text stays rejected and in its place.
            fields = [
                "_rescued := cast(null as varchar)",
                "_payload := if(item._payload is null, null, '{}')",
                *(f"{text} := {self._erased(f'item.{text}')}" for text in _ITEM_TEXTS),
            ]
            erased["session_items"] = (
                "list_transform(session_items,"
                f" lambda item: struct_update(item, {', '.join(fields)}))"
            )
        # Few rows tell of anybody: a branch of a case is computed for those alone.
        columns = ", ".join(
            f"case when _tells then {text} else {column} end as {column}"
            for column, text in erased.items()
        )
        return told.select(f"* exclude (_is_theirs, _tells) replace ({columns})")

    def tells(self, entity: str) -> str:
        """Return the SQL condition of a landed row that tells of forgotten people.

        Args:
            entity: one of `ENTITIES`.

        """
        texts, typed = "_payload, _rescued", ", ".join(_USER_TEXTS)
        if entity == "users":
            typed += ", array_to_string(user_location, chr(10))"
        else:
            texts += "".join(
                ", array_to_string(list_transform("
                f"session_items, lambda item: item.{text}), ' ')"
                for text in ("_payload", "_rescued")
            )
            words = ", ".join(f"item.{text}" for text in _ITEM_TEXTS)
            typed = (
                "user_agent, session_start_time, array_to_string(list_transform("
                f"session_items, lambda item: concat_ws(chr(10), {words})), chr(10))"
            )
        conditions = [
            self._is_theirs(entity),
            self.is_told(f"concat_ws(' ', {texts})"),
            f"len({self._found(f'concat_ws(chr(10), {typed})')}) > 0",
        ]
        if entity == "sessions":
            # A session's whole id is no person's.
            conditions.append(f"len({self._found('session_id', 'session_id')}) > 0")
        return f"coalesce({' or '.join(conditions)}, false)"

    def is_told(self, text: str) -> str:
        """Return the SQL condition of a text, such as JSON, with a forgotten id."""
        tokens = ", ".join(
            f"regexp_extract_all({text}, '{pattern}', {group})"
            for pattern, group in _TOKENS
        )
        plain = "if(json_valid(token), json_extract_string(token, '$'), token)"
        return (
            f"len(list_filter(flatten([{tokens}]),"
            f" lambda token: {self._is_forgotten(plain)})) > 0"
        )

    def _found(self, text: str, besides: str = "''") -> str:
        """Return the SQL list of the forgotten ids in a text; words are no ids.

        Args:
            text: the SQL expression of the text.
            besides: that of one that is no id.

        """
        words = ", ".join(
            f"regexp_extract_all({text}, '{pattern}', {group})"
            for pattern, group in _WORDS
        )
        return (
            f"list_filter(list_filter(list_distinct(flatten([{words}])), lambda word:"
            f" word <> {besides} and regexp_matches(word, '[0-9@]')"
            f" and not regexp_matches(word, '{_DATE}')), lambda word:"
            f" {self._is_forgotten('word')})"
        )

    def _erased(self, text: str) -> str:
        """Return the SQL of a text with the pseudonyms of the forgotten ids in it."""
        return (
            f"list_reduce({self._found(text)}, lambda told, id:"
            f" replace(told, id, {self._pseudonym('id')}), {text})"
        )

    def _pseudonym(self, user_id: str) -> str:
        """Return the SQL of what stands for an id."""
        return f"'{PSEUDONYM}' || {self.digest_of(canonical_sql(user_id))}"

    def _is_forgotten(self, user_id: str) -> str:
        """Return the SQL condition that an id is a forgotten one.

        People were forgotten by their ids as they were written, before.
        """
        written, compared = user_id, canonical_sql(user_id)
        return (
            f"({self.digest_of(written)} in ({self._digests})"
            f" or case when {compared} <> {written}"
            f" then {self.digest_of(compared)} in ({self._digests}) else false end)"
        )

    def digest_of(self, text: str) -> str:
        """Return the SQL expression of the digest of a SQL expression."""
        inner = f"sha256('{self.key}' || {text})"
        return f"left(sha256('{self.key}' || {inner}), {_DIGITS})"

    def _is_theirs(self, entity: str) -> str:
        """Return the SQL condition of a forgotten person's own row."""
        condition = self._is_forgotten("user_id")
        if entity == "users":
            condition += (
                " or (coalesce(user_id, '') = ''"
                f" and {self.digest_of(USER_WITHOUT_ID)} in ({self._digests}))"
            )
        return f"coalesce({condition}, false)"

    @property
    def _digests(self) -> str:
        return ", ".join(f"'{digest}'" for digest in sorted(self.digests))
