"""Paths, taken apart at their slashes before they are decoded: `%2F` belongs to an id and not to the path."""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from starlette.types import Scope

_PARAMETER = re.compile(r"\{(\w+)\}")


class Template:
    """A declared path, such as /api/v1/sessions/{id}: the segments that have to be there, and the places of its parameters."""

    def __init__(self, path: str) -> None:
        self.segments = path.split("/")
        self.length = len(self.segments)
        self.is_plain = all(_PARAMETER.fullmatch(segment) or "{" not in segment for segment in self.segments)
        """Whether each parameter is a segment, whole and without a converter. Others are left to FastAPI."""
        places = [(place, segment, _PARAMETER.fullmatch(segment)) for place, segment in enumerate(self.segments)]
        self._fixed = [(place, segment.encode()) for place, segment, parameter in places if not parameter]
        self._parameters = [(place, parameter[1]) for place, _, parameter in places if parameter]

    def values(self, segments: Sequence[bytes]) -> Mapping[str, str] | None:
        """The parameters' values; None where this is not the path, or where a value is empty or not UTF-8 and so the name of nothing."""
        if len(segments) != self.length:
            return None
        for place, text in self._fixed:
            if segments[place] != text and _unquoted(segments[place]) != text:
                return None
        values: dict[str, str] = {}
        for place, name in self._parameters:
            try:
                value = values[name] = _unquoted(segments[place]).decode()
            except UnicodeDecodeError:
                return None
            if not value:
                return None
        return values

    def overlaps(self, other: "Template") -> bool:
        """Whether some path is both."""
        pairs = zip(self.segments, other.segments, strict=False)
        return self.length == other.length and all(one == two or one.startswith("{") or two.startswith("{") for one, two in pairs)


def segments_of(scope: Scope) -> Sequence[bytes]:
    """The path as it was sent, split at its slashes; without the prefix under which the whole app is served, where there is one."""
    raw: bytes | None = scope.get("raw_path")
    segments: list[bytes] = (scope["path"].encode() if raw is None else raw).split(b"/")
    root: str | None = scope.get("root_path")
    if root and f"{scope['path']}/".startswith(f"{root}/"):
        return [b"", *segments[root.count("/") + 1 :]]
    return segments


def _unquoted(segment: bytes) -> bytes:
    return unquote_to_bytes(segment) if b"%" in segment else segment
