"""What is metered: a feature, its unit, and the smallest part in which it is counted."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal, Inexact
from functools import lru_cache
from typing import Final

from core.errors import DomainError

QUANTITY_PARTS_MAX: Final = 9_000_000_000_000_000
"""The largest quantity that one request may name, in smallest parts; it leaves room to add up a thousand of them in 64 bits."""

SIGNIFICANT_DIGITS_MAX: Final = 15
"""So many digits survive a caller that keeps numbers as binary doubles."""

RESOLUTION_MAX: Final = 1_000_000_000

_DIGITS: Final = Context(prec=SIGNIFICANT_DIGITS_MAX, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact])
_PRODUCT: Final = Context(prec=SIGNIFICANT_DIGITS_MAX + len(str(RESOLUTION_MAX)), Emin=MIN_EMIN, Emax=MAX_EMAX)

_WORD: Final = re.compile(r"(?:^|[ -])(?=[a-z]*[aeiou])[a-z]{3,}\Z")
"""A last word of three small letters or more, one of them a vowel."""


class InvalidQuantity(DomainError):
    """A quantity that is not a number of this feature: not finite, too precise, too large, or not above its minimum."""

    def __init__(self, feature: str, reason: str) -> None:
        super().__init__(feature, reason)
        self.feature = feature
        self.message = f"Invalid quantity of {feature!r}: {reason}."

    def facts(self) -> Mapping[str, object]:
        return {"feature": self.feature}


@lru_cache(maxsize=1024)
def plural(unit: str) -> str:
    """Several of a unit, where its last word is a plain English one: `minutes`, `API calls`, `queries`.

    Symbols and currencies (`USD`, `kg`, `GiB`) stay as they are, and so do words that are plural already.
    """
    word = _WORD.search(unit)
    if word is None or (unit.endswith("s") and not unit.endswith("ss")):
        return unit
    if unit.endswith(("ss", "x", "ch", "sh")):
        return f"{unit}es"
    if unit.endswith("y") and unit[-2] not in "aeiou":
        return f"{unit[:-1]}ies"
    return f"{unit}s"


@dataclass(frozen=True, slots=True)
class Feature:
    """Something metered. `resolution` is how many smallest parts make one `unit` (60: minutes are kept in seconds)."""

    key: str
    unit: str
    resolution: int = 1

    def parts(self, quantity: Decimal) -> int:
        """The quantity, given in units, as a count of smallest parts, rounded half-even. May be zero or negative.

        Raises InvalidQuantity where it is no finite number, has more than 15 significant digits, or is too large.
        """
        if not quantity.is_finite():
            raise InvalidQuantity(self.key, "a finite number is expected")
        if quantity and quantity.adjusted() > SIGNIFICANT_DIGITS_MAX:  # before any arithmetic: 1e999999999 must cost nothing
            raise InvalidQuantity(self.key, "too large")
        try:
            quantity = quantity.normalize(_DIGITS)
        except Inexact:
            raise InvalidQuantity(self.key, f"more than {SIGNIFICANT_DIGITS_MAX} significant digits") from None
        parts = int(_PRODUCT.multiply(quantity, Decimal(self.resolution)).to_integral_value(ROUND_HALF_EVEN))
        if abs(parts) > QUANTITY_PARTS_MAX:
            raise InvalidQuantity(self.key, "too large")
        return parts

    def positive_parts(self, quantity: Decimal) -> int:
        """As `parts`, for usage: raises InvalidQuantity also where less than one smallest part would be booked."""
        parts = self.parts(quantity)
        if parts <= 0:
            smallest = f"1/{self.resolution} {self.unit}" if self.resolution > 1 else f"1 {self.unit}"
            raise InvalidQuantity(self.key, f"at least {smallest} is expected")
        return parts

    def parts_of_work(self, quantity: Decimal) -> int:
        """As `parts`, for work that may have used nothing: raises InvalidQuantity also where it is negative, however little."""
        parts = self.parts(quantity)
        if quantity < 0:
            raise InvalidQuantity(self.key, "at least 0 is expected")
        return parts

    @property
    def plural(self) -> str:
        """What several units are called."""
        return plural(self.unit)

    def amount(self, parts: int) -> str:
        """A count of smallest parts as people read it: `500 minutes`, `1 call`, `0.02 USD`."""
        units = self.units(parts)
        return f"{units:f} {self.unit if units == 1 else self.plural}".rstrip()

    def units(self, parts: int) -> Decimal:
        """A count of smallest parts in units, exact to 15 significant digits."""
        if self.resolution == 1:
            return Decimal(parts)
        return Context(prec=SIGNIFICANT_DIGITS_MAX).divide(Decimal(parts), Decimal(self.resolution))


class FeatureCatalog:
    """The declared metered features, the products' own among them. A unit or resolution never changes: a catalog is only added to."""

    __slots__ = ("_features",)

    def __init__(self, features: Iterable[Feature]) -> None:
        self._features = {feature.key: feature for feature in features}

    def get(self, key: str) -> Feature | None:
        return self._features.get(key)

    def add(self, feature: Feature) -> None:
        self._features[feature.key] = feature

    def __iter__(self) -> Iterator[Feature]:
        return iter(self._features.values())
