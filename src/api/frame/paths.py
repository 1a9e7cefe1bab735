"""Paths, taken apart at their slashes before they are decoded: `%2F` belongs to an id and not to the path."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote_to_bytes

from starlette.types import Scope


class Template:
    """A declared path, such as /api/v1/sessions/{id}: the segments that have to be there, and the places of its parameters."""

    def __init__(self, path: str) -> None:
        segments = path.split("/")
        self.length = len(segments)
        self.segments = segments
        self._fixed = [(place, segment.encode()) for place, segment in enumerate(segments) if not segment.startswith("{")]
        self._parameters = [(place, segment[1:-1].partition(":")[0]) for place, segment in enumerate(segments) if segment.startswith("{")]

    def values(self, segments: Sequence[bytes]) -> Mapping[str, str] | None:
        """The parameters' values; None where this is not the path, or where a value is not UTF-8 and so the name of nothing."""
        if len(segments) != self.length:
            return None
        for place, text in self._fixed:
            if segments[place] != text:
                return None
        try:
            return {name: _decoded(segments[place]) for place, name in self._parameters}
        except UnicodeDecodeError:
            return None


def segments_of(scope: Scope) -> Sequence[bytes]:
    """The path as it was sent, split at its slashes."""
    raw: bytes | None = scope.get("raw_path")
    segments: list[bytes] = (scope["path"].encode() if raw is None else raw).split(b"/")
    return segments


def _decoded(segment: bytes) -> str:
    return (unquote_to_bytes(segment) if b"%" in segment else segment).decode()
