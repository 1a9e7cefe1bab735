"""Who a message is exchanged with, as people write it and platforms give it: a phone number, or whatever else names somebody.

- A phone number is one counterparty in any spelling, also inside a chat address or a URI: `436601234567@s.whatsapp.net`,
  `436601234567@c.us`, `whatsapp:+436601234567`, `tel:`, `sms:`, `sip:+…@…`, and with `00` for the `+`.
- Everything else counts as itself: an id of up to 255 characters, letter by letter, but for white space at either end.
- What is no text in it is mended (`core/text.py`). Of what is longer, the first characters are kept, and a digest of the
  whole, so that it stays another than every other. All who withhold who they are, are `unknown`.

So whatever a sender is called, it has a name, and a message from it is counted. A message to somebody asks for a phone number, or for
a name that has a letter or an @ in it.
"""

import re
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple

from core.text import LABEL_LENGTH_MAX, mended_label

LENGTH_MAX: Final = LABEL_LENGTH_MAX
DIGEST_LENGTH: Final = 32
REMEMBERED_MAX: Final = 16_384
UNKNOWN: Final = "unknown"

_INVISIBLE: Final = "\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
"""What is copied along with a text and not seen: marks of the writing direction, soft hyphens, spaces of no width."""

_AROUND: Final = re.compile(rf"\A[\s{_INVISIBLE}]+|[\s{_INVISIBLE}]+\Z")
_NAME: Final = re.compile(r"[^\W\d_]|@")

_DIALLED: Final = re.compile(
    rf"([+\uff0b]*)([\s(\uff08]*\d[\d\s()\uff08\uff09\[\].\-/~\u2010-\u2015\u2212{_INVISIBLE}]*)(?:(?:;ext=|\s*(?:ext\.?|x)\s*)\d{{1,7}})?",
    re.IGNORECASE,
)
"""A number as one dials it: no letters but those of an extension, which is reached by the same number."""

_CHAT_ADDRESS: Final = re.compile(r"(\d+)(?:_\d+)?(?::\d+)?@(?:s\.whatsapp\.net|c\.us)", re.IGNORECASE)
_SIP: Final = re.compile(r"sips?:\+(\d+)@.+", re.IGNORECASE)
_URI: Final = re.compile(r"(whatsapp|tel|sms|smsto|mms|mmsto|callto):(?://)?([^;?]+)(?:[;?].*)?", re.IGNORECASE)


class Address(NamedTuple):
    """A counterparty as it was written.

    `number` is the phone number that it is or contains, in digits, with a `+` where it is an international one. `name` is what it
    counts as where that can be no phone number. `is_name`: messages can be sent to that name. `needs_region`: it takes a region to read
    the number, or to say why it is none.
    """

    name: str
    number: str | None
    is_name: bool
    needs_region: bool


def address_of(written: str) -> Address:
    """Takes any text. The latest ones are remembered, since the same counterparties come up over and over."""
    return _remembered(written) if len(written) <= LENGTH_MAX else _address_of(written)


def _address_of(written: str) -> Address:
    text = _AROUND.sub("", written)
    if not text:
        return Address(UNKNOWN, None, is_name=False, needs_region=True)
    text = mended_label(text, len(text))
    number = _number_in(text) if len(text) <= LENGTH_MAX else None
    if number is not None:
        name = f"+{number[2:]}" if number[:2] == "00" and number[2:] else number
        return Address(name, number, is_name=False, needs_region=not number.startswith("+"))
    is_name = _NAME.search(text) is not None
    if len(text) > LENGTH_MAX:
        digest = sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
        text = f"{text[: LENGTH_MAX - DIGEST_LENGTH - 1]}~{digest}"
    return Address(text, None, is_name, needs_region=not is_name)


_remembered: Final = lru_cache(REMEMBERED_MAX)(_address_of)


def _number_in(text: str) -> str | None:
    if found := _CHAT_ADDRESS.fullmatch(text) or _SIP.fullmatch(text):
        return f"+{_digits(found[1])}"
    uri = _URI.fullmatch(text)
    dialled = _DIALLED.fullmatch(uri[2].strip() if uri else text)
    if dialled is None:
        return None
    digits = _digits(dialled[2])
    is_international = dialled[1] or (uri and uri[1].lower() == "whatsapp")
    return f"+{digits.removeprefix('00') or digits}" if is_international else digits


def _digits(text: str) -> str:
    """The decimal digits of any script, in ASCII."""
    return "".join(str(int(character)) for character in text if character.isdecimal())
