"""What is metered: a feature, its unit, and the smallest part in which it is counted."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_05UP, ROUND_HALF_EVEN, Context, Decimal
from functools import lru_cache
from typing import Final

from core.errors import DomainError

QUANTITY_PARTS_MAX: Final = 9_000_000_000_000_000
"""The largest quantity that one request may name, in smallest parts; it leaves room to add up a thousand of them in 64 bits."""

SIGNIFICANT_DIGITS_MAX: Final = 15
"""So many digits survive a caller that keeps numbers as binary doubles. What comes after them is noise."""

RESOLUTION_MAX: Final = 1_000_000_000

FRACTIONS: Final = 10**18
"""How many fractions make a smallest part, where amounts below one have to be added up."""

_MAGNITUDE_MAX: Final = len(str(QUANTITY_PARTS_MAX))
_DIGITS: Final = Context(prec=SIGNIFICANT_DIGITS_MAX, rounding=ROUND_HALF_EVEN, Emin=MIN_EMIN, Emax=MAX_EMAX)
_PRODUCT: Final = Context(prec=60, rounding=ROUND_05UP, Emin=MIN_EMIN, Emax=MAX_EMAX)
"""Cuts what is longer, so that rounding the rest gives what rounding the whole would: a literal may have any number of digits."""


def without_noise(number: Decimal) -> Decimal:
    """The number to 15 significant digits, rounded half-even: 0.1 + 0.2 in doubles is 0.3."""
    return _DIGITS.plus(number)


_WORD: Final = re.compile(r"(?:^|[ -])(?=[a-z]*[aeiou])[a-z]{3,}\Z")
"""A last word of three small letters or more, one of them a vowel."""


class InvalidQuantity(DomainError):
    """A quantity that is not a number of this feature: not finite, too large, or not above its minimum."""

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

        Raises InvalidQuantity where it is no finite number, or too large.
        """
        return self._counted(quantity)

    def positive_parts(self, quantity: Decimal) -> int:
        """As `parts`, for usage: raises InvalidQuantity also where less than one smallest part would be booked."""
        parts = self._counted(quantity)
        if parts <= 0:
            smallest = f"1/{self.resolution} {self.unit}" if self.resolution > 1 else f"1 {self.unit}"
            raise InvalidQuantity(self.key, f"at least {smallest} is expected")
        return parts

    def parts_if_any(self, quantity: Decimal) -> int:
        """As `positive_parts`, for what may be nothing at all: zero is allowed."""
        return self.positive_parts(quantity) if quantity else 0

    def parts_of_work(self, quantity: Decimal) -> int:
        """As `parts`, for work that is done and may have used nothing: raises InvalidQuantity also where it is negative, however little."""
        parts = self._counted(quantity)
        if parts <= 0:
            self._require_work(quantity)
        return parts

    def fractions_of_work(self, quantity: Decimal) -> int:
        """As `parts_of_work`, counted in fractions of a smallest part (`FRACTIONS` make one) instead of being rounded to one."""
        fractions = self._counted(quantity, FRACTIONS)
        self._require_work(quantity)
        return fractions

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

    def _counted(self, quantity: Decimal, per_part: int = 1) -> int:
        if not quantity.is_finite():
            raise InvalidQuantity(self.key, "a finite number is expected")
        if quantity and quantity.adjusted() >= _MAGNITUDE_MAX:  # before any arithmetic: 1e999999999 must cost nothing
            raise InvalidQuantity(self.key, "too large")
        whole, per_unit = int(quantity), self.resolution * per_part
        if quantity == whole:
            counted = whole * per_unit
        else:
            counted = int(_PRODUCT.multiply(quantity, Decimal(per_unit)).to_integral_value(ROUND_HALF_EVEN))
        if abs(counted) > QUANTITY_PARTS_MAX * per_part:
            raise InvalidQuantity(self.key, "too large")
        return counted

    def _require_work(self, quantity: Decimal) -> None:
        if quantity < 0:
            raise InvalidQuantity(self.key, "at least 0 is expected")


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
