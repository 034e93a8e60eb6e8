"""Where the fields of a ``config.pbtxt`` stand: the protobuf library parses the text, but does not keep the places.

The text must be one that the library accepted; what it refused has no fields to find.
Grammar: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

FieldPath = Sequence[str | int]
"""Names and selectors in turn: an index into a repeated field, or the key of a map's entry."""

_TOKEN = re.compile(
    r"(?P<space>\s+|\#[^\n]*)"
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<mark>[{}<>\[\]:,;])"
    r"|(?P<word>[^\s{}<>\[\]:,;\"'#]+)"
)
_CLOSING = {"{": "}", "<": ">"}


@dataclass
class Field:
    """One value of a field.

    Attributes:
        start: where the field begins in the text.
        end: where its statement ends; the values of one ``name: [a, b]`` share start and end.
        value: a scalar's text, without quotes; empty for a message.
    """

    name: str
    line: int
    start: int
    end: int = 0
    value: str = ""
    children: list[Field] = field(default_factory=list)


class Fields:
    """The fields of one text.

    Args:
        text: what ``config.pbtxt`` holds.
    """

    def __init__(self, text: str) -> None:
        self._lines = [match.end() for match in re.finditer("\n", text)]
        self._tokens = list(_tokens(text))
        self._next = 0
        self.root = Field("", 1, 0, len(text), children=self._message(None))

    def find(self, path: FieldPath) -> list[Field]:
        """All fields at ``path``; a selector that is left out takes every entry."""
        found = [self.root]
        for part in path:
            if isinstance(part, int):
                found = found[part : part + 1]
            elif found and found[0].name and _is_map_entry(found[0]) and part not in ("key", "value"):
                found = [entry for entry in found if _key_of(entry) == part]
            else:
                found = [child for entry in found for child in entry.children if child.name == part]
        return found

    def line_of(self, path: FieldPath) -> int:
        """The line of the field at ``path``, or of the nearest one around it that is there."""
        for length in range(len(path), 0, -1):
            found = self.find(path[:length])
            if found:
                return found[0].line
        return 1

    def _line(self, position: int) -> int:
        return bisect_right(self._lines, position) + 1

    def _message(self, closing: str | None) -> list[Field]:
        children: list[Field] = []
        while self._next < len(self._tokens) and self._tokens[self._next][1] != closing:
            start, text, _ = self._tokens[self._next]
            self._next += 1
            if text not in (",", ";"):
                children += self._statement(text, start)
        self._next += closing is not None
        return children

    def _statement(self, name: str, start: int) -> list[Field]:
        if self._peek() == ":":
            self._next += 1
        if self._peek() == "[":
            self._next += 1
            values = []
            while self._peek() != "]":
                values.append(self._value(name))
                self._next += self._peek() == ","
            self._next += 1
        else:
            values = [self._value(name)]
            values[0].line = self._line(start)
        if self._peek() in (",", ";"):
            self._next += 1
        end = self._tokens[self._next - 1][2]
        for value in values:
            value.start, value.end = start, end
        return values

    def _value(self, name: str) -> Field:
        start, text, _ = self._tokens[self._next]
        self._next += 1
        found = Field(name, self._line(start), start)
        if text in _CLOSING:
            found.children = self._message(_CLOSING[text])
        else:
            found.value = text.strip("\"'")
            while self._peek()[:1] in ('"', "'"):
                found.value += self._peek().strip("\"'")
                self._next += 1
        return found

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""


def _tokens(text: str) -> Iterator[tuple[int, str, int]]:
    for match in _TOKEN.finditer(text):
        if match.lastgroup != "space":
            yield match.start(), match.group(), match.end()


def _is_map_entry(entry: Field) -> bool:
    return any(child.name == "key" for child in entry.children)


def _key_of(entry: Field) -> str:
    return next((child.value for child in entry.children if child.name == "key"), "")
