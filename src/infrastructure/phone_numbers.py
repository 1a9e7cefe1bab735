"""Phone numbers by the `phonenumbers` library, which knows the numbering plans of all countries: `phonenumberslite`, without its maps."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from core.conversations.ports import PhoneNumbers
from core.customers.ports import PhoneRegions

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

REMEMBERED_MAX: Final = 16_384
"""Reading a number takes some hundred microseconds, and the same ones come up over and over."""

Forms = Mapping[int, Sequence[tuple[str, str]]]

_OTHER_FORMS: Final[Forms] = {
    52: [(r"(?:01|04[45])(\d{10})", r"\1")],  # Mexico: what was dialled in front within the country until 2019
    54: [(r"([1236]\d{9})", r"9\1")],  # Argentina: the 9 of mobile phones, which the library calls the mobile token
    55: [(r"([1-9]{2})([6-9]\d{7})", r"\g<1>9\2")],  # Brazil: the ninth digit of mobile phones, since 2012 to 2016
    220: [  # Gambia: two digits in front, by the operator; the library has both forms
        *((r"([35]\d{6})", r"83\1"), (r"([68]\d{6})", r"86\1"), (r"([27]\d{6}|4[015]\d{5})", r"87\1"), (r"(9\d{6})", r"89\1")),
    ],
    225: [  # Côte d'Ivoire: two digits in front since 2021, by the operator, whom the second digit of the old number names
        *((r"([04-9][0-3]\d{6})", r"01\1"), (r"([04-9][4-6]\d{6})", r"05\1"), (r"([04-9][7-9]\d{6})", r"07\1")),
    ],
    229: [(r"(\d{8})", r"01\1")],  # Benin: 01 in front since 2024
    241: [  # Gabon: another digit in place of the 0 since 2019; the library has both forms
        *((r"0?([47]\d{6})", r"7\1"), (r"0?([256]\d{6})", r"6\1"), (r"0?(1\d{6})", r"1\1"), (r"0(3\d{6})", r"\1")),
    ],
}
"""By country code: a form of national numbers that messaging platforms and address books go on using, and the form of today.

Platforms keep the form that a number had when its owner registered, and so the two come up side by side.
"""

_OTHER_FORMS_ABROAD: Final[Forms] = {52: [(r"1(\d{10})", r"\1")]}
"""In international numbers only. Mexico: the 1 of mobile phones, until 2019. In Mexico itself, 1 and ten digits are rather a US number."""

_INTERNATIONAL: Final = re.compile(r"\s*[+\N{FULLWIDTH PLUS SIGN}]")
_DIALLED_ABROAD: Final = re.compile(r"\s*\+?\s*00")


class LibraryPhoneNumbers(PhoneNumbers):
    """Reads a number as its sender most likely meant it, and remembers the latest.

    - With a `+`, or `00` in its place: as it is.
    - Without: as a number of the region; failing that, as an international one whose `+` was left out, if such a number is in use.
      So `(415) 555-2671` needs a region, and `14155552671` does not. It is taken for an international one, too, where it could only be
      a fixed line in the region, is not written as people write it there, and is a mobile phone elsewhere: platforms leave the `+` out,
      and some countries have so many lengths of numbers that nearly everything could be one of theirs.
    - What is said plainly, by a `+` or by the region, only has to be as long as the country's numbers are: numbering plans grow
      faster than libraries, and a message to a number that the library has not heard of is paid for all the same.
    - A number that is written in two forms is told in the one that the country's numbering plan has today: Mexico without the 1 (`+52`
      and ten digits), Brazil with the ninth digit, Argentina with the 9 (`+549`), and so on as `_OTHER_FORMS` says.
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

    is_international = _INTERNATIONAL.match(number) is not None
    found = stated = _parsed(number, None if is_international else region)
    if stated is None or not phonenumbers.is_valid_number(stated) or not (is_international or _is_at_home(stated, number)):
        abroad = _parsed(_DIALLED_ABROAD.sub("+", number, count=1), None) if _DIALLED_ABROAD.match(number) else None
        guessed = _parsed(f"+{number.strip()}", None)
        likely = [guessed if _is_mobile(guessed) else None, stated, abroad, guessed]
        in_use = [item for item in likely if item is not None and phonenumbers.is_valid_number(item)]
        found = next(iter(in_use), stated or abroad)
    return None if found is None else phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164)


def _parsed(text: str, region: str | None) -> "PhoneNumber | None":
    """What the library makes of it, in the form of today; None where that is not as long as the country's numbers are."""
    import phonenumbers

    try:
        found = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    country = found.country_code or 0
    forms = [*_OTHER_FORMS.get(country, ()), *(_OTHER_FORMS_ABROAD.get(country, ()) if region is None else ())]
    national = phonenumbers.national_significant_number(found)
    for form, today in forms:
        if other := re.fullmatch(form, national):
            found = phonenumbers.parse(f"+{country}{other.expand(today)}")
            break
    # Not is_possible_number(), which is content with a number that can be dialled within one town only.
    whole = phonenumbers.is_possible_number_with_reason(found) == phonenumbers.ValidationResult.IS_POSSIBLE
    return found if whole else None


def _is_at_home(found: "PhoneNumber", number: str) -> bool:
    """Whether that is how people of its region would write it, or it can be a mobile phone there."""
    import phonenumbers

    written = phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.NATIONAL)
    return _is_mobile(found) or phonenumbers.normalize_digits_only(written) == phonenumbers.normalize_digits_only(number)


def _is_mobile(number: "PhoneNumber | None") -> bool:
    """Also where mobile phones and fixed lines look the same."""
    from phonenumbers import PhoneNumberType, number_type

    return number is not None and number_type(number) in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
