"""Text, by one rule everywhere: any script is text. What controls a terminal, and half of a character, is not.

Names and ids that cannot be right are refused. Words about work that is done are mended instead: nobody can do that work again.
"""

import re
from typing import Final

LABEL_LENGTH_MAX: Final = 255
SHORT_LABEL_LENGTH_MAX: Final = 64
PROSE_LENGTH_MAX: Final = 10_000

CUT: Final = "…"
"""Ends a text that was longer."""

_NOT_IN_LABELS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_NOT_IN_PROSE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACES: Final = re.compile(r"\r\n|[\t\n\v\f\r\x85\u2028\u2029]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def is_label(text: str) -> bool:
    """Whether it is one line of text: no control characters, no line ends, no halves of surrogate pairs."""
    return text.isprintable() or _NOT_IN_LABELS.search(text) is None  # the first of the two is much quicker, and knows most texts


def is_prose(text: str) -> bool:
    """Whether it is text of any number of lines: of the control characters, tabs and line ends belong to it."""
    return text.isprintable() or _NOT_IN_PROSE.search(text) is None


def is_id(text: str) -> bool:
    """Whether it can be an id: a label without white space at either end, which some would trim, and then mean another one."""
    return 0 < len(text) <= LABEL_LENGTH_MAX and text == text.strip() and is_label(text)


def mended_label(text: str, length_max: int = LABEL_LENGTH_MAX) -> str:
    """One line of text: what ends a line becomes a space, what is no text becomes U+FFFD, and what is too long is cut and ends in "…"."""
    text = _cut(text, length_max)
    return text if text.isprintable() else _NOT_IN_LABELS.sub(_REPLACEMENT, _SPACES.sub(" ", text))


def mended_prose(text: str, length_max: int = PROSE_LENGTH_MAX) -> str:
    """As `mended_label`, and it keeps its lines."""
    text = _cut(text, length_max)
    return text if text.isprintable() else _NOT_IN_PROSE.sub(_REPLACEMENT, text)


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - len(CUT)] + CUT
