"""YAML text as plain data that remembers its lines and loses nothing: numbers keep their digits, repeated keys are noticed.

Scalars are read as YAML 1.2 reads them, not as YAML 1.1 does, where `1:30` is 90, `010` is 8 and `no` is false. An empty
value is '' and not null, because `limit:` with the number forgotten must not come to mean unlimited.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import yaml
from yaml.error import MarkedYAMLError
from yaml.events import NodeEvent
from yaml.nodes import Node, ScalarNode, SequenceNode
from yaml.reader import ReaderError

Location = tuple[str, ...]
"""The keys that lead to a value."""

_WORDS: Final = {"~": None} | {
    spelling: meaning
    for word, meaning in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.title(), word.upper())
}
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)(e[-+]?[0-9]{1,4})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key that its mapping already has, on `first_line`. Its value is not read."""

    location: Location
    line: int
    first_line: int


@dataclass(frozen=True, slots=True)
class Document:
    """`data` is made of dict, list, str, Decimal, bool and None; `lines` has the line of every key in it, from 1."""

    data: object
    lines: dict[Location, int]
    duplicates: list[Duplicate]

    def line_of(self, location: Location) -> int:
        """The line of the value there; where there is none, the line of the nearest key above it."""
        while location not in self.lines:
            location = location[:-1]
        return self.lines[location]


class UnreadableDocument(Exception):
    """A text that is not YAML, or uses a part of YAML that is not read here. The message is `line:column: problem`."""

    def __init__(self, line: int, column: int, problem: str) -> None:
        super().__init__(f"{line}:{column}: {problem}")


def read_document(content: bytes) -> Document:
    """Reads UTF-8 text with one YAML document; an empty one is ''. Raises UnreadableDocument."""
    try:
        text = content.decode()
        _require_plain(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        raise _unreadable(before, f"expected UTF-8 text, got the byte 0x{content[error.start]:02x}") from error
    except ReaderError as error:
        raise _unreadable(text[: error.position], f"expected printable text, got the character U+{error.character:04X}") from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        assert mark is not None
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise UnreadableDocument(mark.line + 1, mark.column + 1, f"expected YAML: {problem}") from error
    lines: dict[Location, int] = {(): 1}
    duplicates: list[Duplicate] = []
    data = "" if root is None else _data(root, (), lines, duplicates)
    return Document(data, lines, duplicates)


def _unreadable(before: str, problem: str) -> UnreadableDocument:
    return UnreadableDocument(before.count("\n") + 1, len(before) - before.rfind("\n"), problem)


def _require_plain(text: str) -> None:
    """An alias could refer to a part of itself, and a tag to any object. A plan file writes every value out where it is used."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, NodeEvent) and (event.anchor is not None or getattr(event, "tag", None) is not None):
            mark = event.start_mark
            assert mark is not None
            raise UnreadableDocument(mark.line + 1, mark.column + 1, "expected no anchors, aliases or tags: write the value out")


def _data(node: Node, location: Location, lines: dict[Location, int], duplicates: list[Duplicate]) -> object:
    """The node's data. Adds the lines of its keys to `lines`, and repeated keys to `duplicates`."""
    if isinstance(node, ScalarNode):
        return _scalar(node.value) if node.style is None else node.value
    if isinstance(node, SequenceNode):
        return [_data(item, (*location, str(index)), lines, duplicates) for index, item in enumerate(node.value)]
    data: dict[str, object] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            raise UnreadableDocument(key.start_mark.line + 1, key.start_mark.column + 1, "expected a plain word as key")
        inner, line = (*location, key.value), key.start_mark.line + 1
        if inner in lines:
            duplicates.append(Duplicate(inner, line, lines[inner]))
            continue
        lines[inner] = line
        data[key.value] = _data(value, inner, lines, duplicates)
    return data


def _scalar(text: str) -> str | Decimal | bool | None:
    if text in _WORDS:
        return _WORDS[text]
    return Decimal(text) if _NUMBER.fullmatch(text) else text
