"""The registry of erased people: recognises them without naming them.

`landing/.forgotten.json` contains a random key and keyed digests: of the people's ids,
and of their user records that lack an id. A digest reveals nothing without the key and
the original text. If a source delivers an erased person again, the loader recognises
the digests, and erases the data before it lands. Once the sources have erased the
people too, you can delete the file; then nothing links an id to its pseudonym any more.
"""

import hashlib
import json
import os
import re
import secrets
import unicodedata
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from duckdb import DuckDBPyRelation

if TYPE_CHECKING:
    from deftunes.landing.landed_files import LandedFiles

ENTITIES = ("users", "sessions")
"""The entities with records about people."""

PSEUDONYM = "forgotten-"
"""The prefix of a pseudonym; the digest of the id follows."""

USER_WITHOUT_ID = (
    "to_json([user_name, user_lastname, cast(user_location as varchar), user_since,"
    " _rescued, _payload])"
)
"""The SQL expression of a user record's content without the id."""

_FILE = ".forgotten.json"
_DIGITS = 32

# A UUID in capitals, in braces or as a URN is the same id.
_HEX = "[0-9a-fA-F]"
_UUID = f"{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}"
_WHOLE_UUID = (
    r"^(?:[uU][rR][nN]:[uU][uU][iI][dD]:)?\{?"
    + "-?".join(f"({_HEX}{{{digits}}})" for digits in (8, 4, 4, 4, 12))
    + r"\}?$"
)
_WRITTEN_UUID = r"\1-\2-\3-\4-\5"
_MIN_LENGTH = 8
_VARIABLE = "DEFTUNES_PERSON_TO_FORGET"
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"
_BLANKS = " \t\n\r"

# Where an id may be in a text: in quotes, as a number, or as a word within other text;
# shorter words are too common to be ids. Regular expressions, each with the number of
# the group that contains the id.
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

# The text columns that may mention a person. Ids of songs and artists do not.
_USER_TEXTS = ("user_name", "user_lastname", "user_since")
_SESSION_TEXTS = ("session_id", "user_agent", "session_start_time")
_ITEM_TEXTS = ("song_name", "artist_name", "currency", "liked_since")


def canonical(user_id: str) -> str:
    """Return the normal form of an id: without outer blanks; a UUID in lower case."""
    text = user_id.strip(_BLANKS)
    if re.search(_WHOLE_UUID, text):
        return re.sub(_WHOLE_UUID, _WRITTEN_UUID, text).lower()
    return text


def canonical_sql(text: str) -> str:
    """Return the SQL expression that does the same as `canonical`."""
    trimmed = f"trim({text}, ' ' || chr(9) || chr(10) || chr(13))"
    return (
        f"if(regexp_matches({trimmed}, '{_WHOLE_UUID}'),"
        f" lower(regexp_replace({trimmed}, '{_WHOLE_UUID}', '{_WRITTEN_UUID}')),"
        f" {trimmed})"
    )


def _words(text: str) -> set[str]:
    """Return the words of a text, in lower case and Unicode-normalised."""
    return {*re.findall(r"\w+", unicodedata.normalize("NFC", text.lower()))}


@dataclass(frozen=True)
class Person:
    """The person to erase.

    Attributes:
        user_id: the id.
        names: pairs of first and last name, in lower case and Unicode-normalised.

    """

    user_id: str
    names: frozenset[tuple[str, str]] = frozenset()

    def to_environment(self) -> None:
        """Store the person for `from_environment`, in this process and its children."""
        os.environ[_VARIABLE] = json.dumps([self.user_id, *map(list, self.names)])

    @classmethod
    def from_environment(cls) -> "Person | None":
        """Return the person that `to_environment` has stored; None if there is none."""
        stored = os.environ.get(_VARIABLE)
        if stored is None:
            return None
        user_id, *names = json.loads(stored)
        return cls(user_id, frozenset((name, last) for name, last in names))

    def has_id(self, text: str) -> bool:
        """Return whether a text is the person's id."""
        return canonical(text) == canonical(self.user_id)

    def is_named_in(self, text: str) -> bool:
        """Return whether a text, such as JSON, contains the person's id or name."""
        user_id = canonical(self.user_id)
        spellings = {user_id, self.user_id}
        if re.search(_WHOLE_UUID, user_id):
            text, spellings = text.lower(), {user_id, user_id.replace("-", "")}
        # A short id occurs by chance in many texts and numbers.
        if len(user_id) < _MIN_LENGTH:
            spellings = {f'"{user_id}"'}
        words = _words(text)
        return any(spelling in text for spelling in spellings) or any(
            words >= _words(f"{name} {last}")
            for name, last in self.names
            if _words(name) and _words(last)
        )


@dataclass(frozen=True)
class ErasureRegistry:
    """The erased people of a landing zone.

    Attributes:
        key: the secret key of the digests, 64 hexadecimal digits.
        digests: the digests of ids, and of user records without an id.

    """

    key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    digests: frozenset[str] = frozenset()

    @classmethod
    def load(cls, landed: "LandedFiles") -> "ErasureRegistry":
        """Read the registry of a landing zone; without one, create an empty one."""
        text = landed.read_text(_FILE)
        if text is None:
            return cls()
        content = json.loads(text)
        return cls(content["key"], frozenset(content["digests"]))

    def save(self, landed: "LandedFiles") -> None:
        """Write the registry to a landing zone, in one step."""
        content = {"key": self.key, "digests": sorted(self.digests)}
        landed.write_text(_FILE, json.dumps(content))

    def digest(self, text: str) -> str:
        """Return the keyed digest of a text."""
        inner = hashlib.sha256((self.key + text).encode()).hexdigest()
        outer = hashlib.sha256((self.key + inner).encode()).hexdigest()
        return outer[:_DIGITS]

    def with_digests(self, *digests: str) -> "ErasureRegistry":
        """Return a copy with these digests added."""
        return replace(self, digests=self.digests.union(digests))

    def erase(self, entity: str, rows: DuckDBPyRelation) -> DuckDBPyRelation:
        """Return landed rows without the data of erased people.

        User records of these people are removed. Their sessions are kept for the
        accounts, with a pseudonym as the user id and without the user agent. Text that
        fits no column (`_rescued`, `_payload`) may contain anything: it is removed from
        every record of these people and every record that mentions one.

        Args:
            entity: the entity of the rows.
            rows: the rows, with the columns that `deftunes.landing.api` returns.

        Returns:
            The remaining rows, with the same columns.

        """
        if not self.digests or entity not in ENTITIES:
            return rows
        kept = rows.select(
            f"*, {self._is_theirs(entity)} as _is_theirs,"
            f" {self.mentions_erased(entity)} as _mentions"
        ).filter("not (_payload is not null and _mentions)")
        erased = {"_rescued": "null"}
        if entity == "users":
            kept = kept.filter("not _is_theirs")
            erased |= {text: self._with_pseudonyms(text) for text in _USER_TEXTS}
            word = self._with_pseudonyms("word")
            erased["user_location"] = (
                f"list_transform(user_location, lambda word: {word})"
            )
        else:
            erased |= {text: self._with_pseudonyms(text) for text in _SESSION_TEXTS}
            agent = erased["user_agent"]
            erased["user_agent"] = f"case when _is_theirs then null else {agent} end"
            erased["user_id"] = (
                f"case when _is_theirs then {self._pseudonym('user_id')}"
                " else user_id end"
            )
            # A malformed item stays malformed and at its position, without its text.
            fields = [
                "_rescued := cast(null as varchar)",
                "_payload := if(item._payload is null, null, '{}')",
                *(
                    f"{text} := {self._with_pseudonyms(f'item.{text}')}"
                    for text in _ITEM_TEXTS
                ),
            ]
            erased["session_items"] = (
                "list_transform(session_items,"
                f" lambda item: struct_update(item, {', '.join(fields)}))"
            )
        # `case` evaluates the expensive expressions only for the few rows that need it.
        columns = ", ".join(
            f"case when _mentions then {text} else {column} end as {column}"
            for column, text in erased.items()
        )
        return kept.select(f"* exclude (_is_theirs, _mentions) replace ({columns})")

    def mentions_erased(self, entity: str) -> str:
        """Return the SQL condition for a landed row that mentions an erased person.

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
            self.mentions_id(f"concat_ws(' ', {texts})"),
            f"len({self._erased_ids(f'concat_ws(chr(10), {typed})')}) > 0",
        ]
        if entity == "sessions":
            # A session id as a whole is not a person's id, but it may contain one.
            conditions.append(
                f"len({self._erased_ids('session_id', 'session_id')}) > 0"
            )
        return f"coalesce({' or '.join(conditions)}, false)"

    def mentions_id(self, text: str) -> str:
        """Return the SQL condition for a text, such as JSON, with an erased id."""
        tokens = ", ".join(
            f"regexp_extract_all({text}, '{pattern}', {group})"
            for pattern, group in _TOKENS
        )
        plain = "if(json_valid(token), json_extract_string(token, '$'), token)"
        return (
            f"len(list_filter(flatten([{tokens}]),"
            f" lambda token: {self._is_erased(plain)})) > 0"
        )

    def _erased_ids(self, text: str, exception: str = "''") -> str:
        """Return the SQL expression for the list of erased ids in a text.

        A word counts as an id only if it has a digit or an @, and is not a date.

        Args:
            text: the SQL expression of the text.
            exception: the SQL expression of a word that is not an id.

        """
        words = ", ".join(
            f"regexp_extract_all({text}, '{pattern}', {group})"
            for pattern, group in _WORDS
        )
        return (
            f"list_filter(list_filter(list_distinct(flatten([{words}])), lambda word:"
            f" word <> {exception} and regexp_matches(word, '[0-9@]')"
            f" and not regexp_matches(word, '{_DATE}')), lambda word:"
            f" {self._is_erased('word')})"
        )

    def _with_pseudonyms(self, text: str) -> str:
        """Return the SQL expression of a text with pseudonyms instead of erased ids."""
        return (
            f"list_reduce({self._erased_ids(text)}, lambda result, id:"
            f" replace(result, id, {self._pseudonym('id')}), {text})"
        )

    def _pseudonym(self, user_id: str) -> str:
        """Return the SQL expression of the pseudonym of an id."""
        return f"'{PSEUDONYM}' || {self.digest_of(canonical_sql(user_id))}"

    def _is_erased(self, user_id: str) -> str:
        """Return the SQL condition that an id is that of an erased person.

        Older versions stored the digest of the id as written, not of its normal form,
        so both are compared.
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
        """Return the SQL condition for a row that belongs to an erased person."""
        condition = self._is_erased("user_id")
        if entity == "users":
            condition += (
                " or (coalesce(user_id, '') = ''"
                f" and {self.digest_of(USER_WITHOUT_ID)} in ({self._digests}))"
            )
        return f"coalesce({condition}, false)"

    @property
    def _digests(self) -> str:
        return ", ".join(f"'{digest}'" for digest in sorted(self.digests))
