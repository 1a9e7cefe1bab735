"""Phone numbers by the `phonenumbers` library, which knows the numbering plans of all countries."""

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from core.conversations.ports import PhoneNumbers
from core.customers.ports import PhoneRegions

REMEMBERED_MAX: Final = 16_384
"""Reading a number takes some forty microseconds, and the same ones come up over and over."""


class LibraryPhoneNumbers(PhoneNumbers):
    """Reads a number as its sender most likely meant it, and remembers the latest.

    - With a `+`: as it is.
    - Without: as a number of the region; failing that, as an international one whose `+` was left out, if such a number is in use.
      So `(415) 555-2671` needs a region, and `14155552671` does not.
    - What is said plainly, by a `+` or by the region, only has to be as long as the country's numbers are: numbering plans grow
      faster than libraries, and an inbound message from a number that the library has not heard of was sent all the same.
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
    from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

    def parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber | None:
        try:
            found = phonenumbers.parse(text, region)
        except NumberParseException:
            return None
        # Not is_possible_number(), which is content with a number that can be dialled within one town only.
        whole = phonenumbers.is_possible_number_with_reason(found) == ValidationResult.IS_POSSIBLE
        return found if whole else None

    stated = parsed(number, region)
    found = stated
    if stated is None or not phonenumbers.is_valid_number(stated):
        guessed = parsed(f"+{number.strip()}", None)
        if guessed is not None and phonenumbers.is_valid_number(guessed):
            found = guessed
    return None if found is None else phonenumbers.format_number(found, PhoneNumberFormat.E164)
