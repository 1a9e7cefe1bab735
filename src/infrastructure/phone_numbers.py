"""Phone numbers by the `phonenumbers` library, which knows the numbering plans of all countries."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from core.conversations.ports import PhoneNumbers
from core.customers.ports import PhoneRegions

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

REMEMBERED_MAX: Final = 16_384
"""Reading a number takes some forty microseconds, and the same ones come up over and over."""

_OTHER_FORMS: Final[Mapping[int, Sequence[tuple[re.Pattern[str], str]]]] = {
    country: [(re.compile(form), today) for form, today in forms]
    for country, forms in {
        52: [(r"(?:01|04[45]|1)(\d{10})", r"\1")],  # Mexico had prefixes for mobile phones until 2019
        54: [(r"([1236]\d{9})", r"9\1")],  # Argentina: the 9 of mobile phones, as in the library's mobile tokens
        55: [(r"([1-9]{2})([6-9]\d{7})", r"\g<1>9\2")],  # Brazil: the ninth digit of mobile phones, since 2012 to 2016
        220: [  # Gambia: two digits in front, by the operator; the library knows both forms
            *((r"([35]\d{6})", r"83\1"), (r"([68]\d{6})", r"86\1"), (r"([27]\d{6}|4[015]\d{5})", r"87\1"), (r"(9\d{6})", r"89\1")),
        ],
        225: [  # Côte d'Ivoire: two digits in front since 2021, which the second digit of a mobile phone's old number says
            *((r"([04-9][0-3]\d{6})", r"01\1"), (r"([04-9][4-6]\d{6})", r"05\1"), (r"([04-9][7-9]\d{6})", r"07\1")),
        ],
        229: [(r"(\d{8})", r"01\1")],  # Benin: 01 in front since 2024
        241: [  # Gabon: a further digit in front since 2019; the library knows both forms
            *((r"0?([47]\d{6})", r"7\1"), (r"0?([256]\d{6})", r"6\1"), (r"0?(1\d{6})", r"1\1")),
        ],
    }.items()
}
"""By country code: a form that platforms and address books still use of national numbers, and the form of today. Both reach one person.

Messaging platforms keep the form that a number had when its owner registered, so the two come up side by side.
"""

_DIALLED_ABROAD: Final = re.compile(r"\s*\+?\s*00")


class LibraryPhoneNumbers(PhoneNumbers):
    """Reads a number as its sender most likely meant it, and remembers the latest.

    - With a `+`, or `00` in its place: as it is.
    - Without: as a number of the region; failing that, as an international one whose `+` was left out, if such a number is in use.
      So `(415) 555-2671` needs a region, and `14155552671` does not.
    - What is said plainly, by a `+` or by the region, only has to be as long as the country's numbers are: numbering plans grow
      faster than libraries, and an inbound message from a number that the library has not heard of was sent all the same.
    - A number of which there are two forms is told in the one that the country's numbering plan has today: Mexico without the 1
      (`+52` and ten digits), Brazil with the ninth digit, Argentina with the 9 (`+549`), and as `_OTHER_FORMS` says.
    """

    def __init__(self) -> None:
        self._remembered = lru_cache(REMEMBERED_MAX)(_e164)

    def e164(self, number: str, region: str | None) -> str | None:
        return self._remembered(number, region)


class LibraryPhoneRegions(PhoneRegions):
    """The regions that the library has a numbering plan of."""

    def known(self) -> Collection[str]:
        import phonenumbers  # only by processes that ask, as below

        regions: Collection[str] = phonenumbers.SUPPORTED_REGIONS
        return regions


def _e164(number: str, region: str | None) -> str | None:
    # The library takes 60 ms to load: only processes that meet a phone number wait for it, and only once.
    import phonenumbers

    stated = _parsed(number, region)
    abroad = _parsed(_DIALLED_ABROAD.sub("+", number, count=1), None) if _DIALLED_ABROAD.match(number) else None
    guessed = _parsed(f"+{number.strip()}", None)
    in_use = [found for found in (stated, abroad, guessed) if found is not None and phonenumbers.is_valid_number(found)]
    found = next(iter(in_use), stated or abroad)
    return None if found is None else phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


def _parsed(text: str, region: str | None) -> "PhoneNumber | None":
    """What the library makes of it, in the form of today; None where that is not as long as the country's numbers are."""
    import phonenumbers

    try:
        found = _of_today(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return None
    # Not is_possible_number(), which is content with a number that can be dialled within one town only.
    whole = phonenumbers.is_possible_number_with_reason(found) == phonenumbers.ValidationResult.IS_POSSIBLE
    return found if whole else None


def _of_today(number: "PhoneNumber") -> "PhoneNumber":
    import phonenumbers

    forms = _OTHER_FORMS.get(number.country_code or 0, ())
    national = phonenumbers.national_significant_number(number) if forms else ""
    for form, today in forms:
        if found := form.fullmatch(national):
            return phonenumbers.parse(f"+{number.country_code}{found.expand(today)}")
    return number
