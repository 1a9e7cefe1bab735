"""The country whose phone numbers a customer writes without a country code."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Final

from core.errors import DomainError

_ABBREVIATIONS: Final = {
    "GB": "UK EN ENG GBR SCO WAL",
    "US": "USA U.S. U.S.A.",
    "AT": "AUT",
    "AU": "AUS",
    "BR": "BRA",
    "CA": "CAN",
    "CH": "SUI",
    "DE": "GER",
    "ES": "SPA",
    "IN": "IND",
    "MX": "MEX",
    "NO": "NOR",
}
_LANGUAGES: Final = {"CN": "ZH", "CZ": "CS", "DK": "DA", "GR": "EL", "IL": "HE", "IR": "FA", "JP": "JA", "KR": "KO"}
"""Those whose codes are not the codes of other countries."""

_MEANT: Final = {name: region for known in (_ABBREVIATIONS, _LANGUAGES) for region, names in known.items() for name in names.split()}
"""What people write who mean a region."""

_CLOSE: Final = 0.8
"""The likeness of "FR" and "FRA"."""


class InvalidPhoneRegion(DomainError):
    """No country or territory whose phone numbers are known. `suggestion` is the one that was probably meant, if there is one."""

    def __init__(self, name: str, suggestion: str | None) -> None:
        super().__init__(name, suggestion)
        self.name, self.suggestion = name, suggestion
        meant = f" Did you mean {suggestion!r}?" if suggestion else ""
        self.message = f"Unknown phone region {name!r}: an ISO 3166 country code of two capital letters is expected, such as 'US'.{meant}"

    def facts(self) -> Mapping[str, object]:
        return {"phone_region": self.name, "suggestion": self.suggestion}


def known_region(name: str, regions: Collection[str]) -> str:
    """The name, if it is one of the regions: by any other, none of the customer's numbers could be read. Raises InvalidPhoneRegion."""
    if name not in regions:
        raise InvalidPhoneRegion(name, _suggestion(name, regions))
    return name


def _suggestion(name: str, regions: Collection[str]) -> str | None:
    plain = name.strip().upper()
    meant = _MEANT.get(plain, plain)
    if meant in regions:
        return meant
    close = [region for region in get_close_matches(plain, regions, cutoff=_CLOSE) if region[0] == plain[0]]
    return close[0] if len(close) == 1 else None
