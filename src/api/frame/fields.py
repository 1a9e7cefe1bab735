"""How many fields a body may have. Each that is unknown is a mistake, and to tell one takes a hundred times as long as to read it."""

import re
from typing import Final

from fastapi.exceptions import RequestValidationError

FIELDS_MAX: Final = 2_000
"""Of a body of the usual size."""
BULK_FIELDS_MAX: Final = 100_000
"""Of a thousand items."""

_BYTES_MIN: Final = 5
"""The shortest field: `"":1,`."""
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("[\s\x00]*+:)?', re.DOTALL)
"""A text, whether it ends or not, and whether it is a field's name. In UTF-16 and UTF-32 there are zeros in between."""


def require_few_fields(content: bytes, fields_max: int) -> None:
    """Raises RequestValidationError where there are more. What is no JSON may pass: it is refused by whoever reads it."""
    if len(content) <= fields_max * _BYTES_MIN or content.count(b":") <= fields_max:
        return
    found = 0
    for text in _TEXT.finditer(content):
        found += text[1] is not None
        if found > fields_max:
            mistake = {"type": "too_many_fields", "loc": ("body",), "msg": f"A body has at most {fields_max:,} fields"}
            raise RequestValidationError([mistake])
