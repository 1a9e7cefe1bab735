"""A plan as its author writes it, before it is published: limits in units, not yet held against the declared features."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from core.plans.alerts import ALERTS_DEFAULT, EXPECTED_ALERTS, PERCENT_MAX, THRESHOLDS_MAX, percentages
from core.plans.features import QUANTITY_PARTS_MAX, Feature, FeatureCatalog, InvalidQuantity, without_noise
from core.plans.options import Option, WholeNumber
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Entitlement, InvalidPlan, Metered, Static
from core.plans.rollover import EXPECTED_PERIODS, PERIODS_MAX, Rollover, RolloverDraft
from core.text import is_label

KEY_LENGTH_MAX: Final = 64
NAME_LENGTH_MAX: Final = 200

EXPECTED_KEY: Final = f"a key of 1 to {KEY_LENGTH_MAX} of a-z, 0-9, '_', '.' and '-', starting with a letter"
EXPECTED_NAME: Final = f"1 to {NAME_LENGTH_MAX} printable characters"
EXPECTED_LIMIT: Final = "a number of at least 0 or null"

_NUMBER: Final = Feature("value", unit="")
"""How a static value is read: exactly as a quantity is, since it crosses the same wire."""

_KEY: Final = re.compile(rf"[a-z][a-z0-9_.-]{{0,{KEY_LENGTH_MAX - 1}}}")


def is_key(text: str) -> bool:
    """Whether a plan or a feature may go by this key."""
    return _KEY.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a plan or a unit may be called so."""
    return 0 < len(text) <= NAME_LENGTH_MAX and is_label(text)


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The end of a sentence that names the known word closest to a mistyped one; empty where none is close."""
    close = get_close_matches(given, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


@dataclass(frozen=True, slots=True)
class Mistake:
    """What has to be mended before a plan can be published.

    `location` are the keys that lead there; none for the plan's own key. `undeclared` is a feature that has to be declared first.
    """

    location: tuple[str, ...]
    expected: str
    undeclared: str | None = None


@dataclass(frozen=True, slots=True)
class MeteredDraft:
    """A metered entitlement with its limit in the feature's unit; None is unlimited.

    `alerts` are percentages of the limit; None: the default.
    """

    limit: Decimal | None
    reset: Reset = Reset.BILLING_PERIOD
    enforcement: Enforcement = Enforcement.HARD
    options: tuple[Option, ...] = ()
    rollover: RolloverDraft | None = None
    alerts: tuple[int, ...] | None = None


EntitlementDraft = MeteredDraft | Static | Boolean


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """A plan that somebody wants published, out of a file or by a request."""

    key: str
    name: str
    entitlements: Mapping[str, EntitlementDraft]

    def resolve(self, catalog: FeatureCatalog) -> dict[str, Entitlement]:
        """The entitlements as they are published, limits in smallest parts. Raises InvalidPlan for the first mistake."""
        if mistakes := self.mistakes(catalog):
            first = mistakes[0]
            raise InvalidPlan(".".join(first.location) or "key", first.expected, first.undeclared)
        features = {feature.key: feature for feature in catalog}
        return {key: _resolved(key, entitlement, features) for key, entitlement in self.entitlements.items()}

    def mistakes(self, catalog: FeatureCatalog) -> list[Mistake]:
        """Everything that keeps the plan from being published, given the features that are declared."""
        found = []
        if not is_key(self.key):
            found.append(Mistake((), f"expected {EXPECTED_KEY}"))
        if not is_name(self.name):
            found.append(Mistake(("name",), f"expected {EXPECTED_NAME}, got {self.name!r}"))
        for key, entitlement in self.entitlements.items():
            found.extend(_mistakes(key, entitlement, catalog))
        return found


def _mistakes(key: str, entitlement: EntitlementDraft, catalog: FeatureCatalog) -> Iterator[Mistake]:
    location, feature = ("entitlements", key), catalog.get(key)
    if not is_key(key):
        yield Mistake(location, f"expected {EXPECTED_KEY}")
    elif isinstance(entitlement, MeteredDraft) and feature is None:
        known = did_you_mean(key, (declared.key for declared in catalog))
        how = known or ": declare it under 'features:' in the plan file"
        yield Mistake(location, f"expected a declared metered feature{how}", undeclared=None if known else key)
    elif not isinstance(entitlement, MeteredDraft) and feature is not None:
        yield Mistake((*location, "type"), f"expected 'metered', since {key!r} is a declared metered feature")
    match entitlement:
        case MeteredDraft(limit=Decimal() as limit):
            expected = _expected_limit(limit, feature)
            if expected:
                yield Mistake((*location, "limit"), f"expected {expected}, got {limit}")
        case Static(value) if not _is_quantity(value, _NUMBER):
            yield Mistake((*location, "value"), f"expected a number of {_largest(_NUMBER)}, got {value}")
    if isinstance(entitlement, MeteredDraft):
        yield from _rollover_mistakes(entitlement, feature, (*location, "rollover"))
        if entitlement.alerts is not None and not _are_alerts(entitlement.alerts):
            yield Mistake((*location, "alerts"), f"expected {EXPECTED_ALERTS}, got {list(entitlement.alerts)}")
        for option in entitlement.options:
            yield from _option_mistakes(key, option, (*location, option.name))


def _rollover_mistakes(draft: MeteredDraft, feature: Feature | None, location: tuple[str, ...]) -> Iterator[Mistake]:
    rollover = draft.rollover
    if rollover is None:
        return
    if draft.reset is Reset.NEVER:
        yield Mistake(location, "expected no rollover here: a limit that never resets has no period whose rest could roll over")
    if not 1 <= rollover.periods <= PERIODS_MAX:
        yield Mistake((*location, "periods"), f"expected {EXPECTED_PERIODS}, got {rollover.periods}")
    expected = None if rollover.max is None else _expected_limit(rollover.max, feature)
    if expected:
        yield Mistake((*location, "max"), f"expected {expected}, got {rollover.max}")


def _are_alerts(percents: Collection[int]) -> bool:
    different = len(set(percents)) == len(percents) <= THRESHOLDS_MAX
    return different and all(1 <= percent <= PERCENT_MAX for percent in percents)


def _option_mistakes(key: str, option: Option, location: tuple[str, ...]) -> Iterator[Mistake]:
    if key not in option.features:
        yield Mistake(location, f"expected no {option.name} here: {option.only}")
    values = option.to_json()
    for part in option.parts:
        # A number's type does not say its bounds; a switch or a choice can hold nothing wrong.
        if isinstance(part, WholeNumber) and not part.takes(values[part.name]):
            yield Mistake((*location, part.name), f"expected {part.expected}, got {values[part.name]}")


def limit_parts(limit: Decimal, feature: Feature) -> int:
    """A limit outside of any plan, in smallest parts, by the rules of plans. Raises InvalidQuantity."""
    if expected := _expected_limit(limit, feature):
        raise InvalidQuantity(feature.key, f"expected {expected}")
    return feature.parts(limit)


def _expected_limit(limit: Decimal, feature: Feature | None) -> str | None:
    """What should be there instead; None where the limit is one. Of an undeclared feature only the sign is known to be wrong."""
    if not limit.is_finite() or limit < 0:
        return EXPECTED_LIMIT
    if feature is None:
        return None
    if not _is_quantity(limit, feature):
        return _largest(feature)
    # Compared as it will be shown: what a plan shows can be published again, 1/3 minute too.
    if feature.units(feature.parts(limit)) != without_noise(limit):
        return f"a whole multiple of 1/{feature.resolution} {feature.unit}" if feature.resolution > 1 else "a whole number"
    return None


def _is_quantity(number: Decimal, feature: Feature) -> bool:
    try:
        feature.parts(number)
    except InvalidQuantity:
        return False
    return True


def _largest(feature: Feature) -> str:
    return f"at most {feature.amount(QUANTITY_PARTS_MAX)}"


def _resolved(key: str, entitlement: EntitlementDraft, features: Mapping[str, Feature]) -> Entitlement:
    match entitlement:
        case MeteredDraft(limit=limit):
            return Metered(
                limit=None if limit is None else features[key].parts(limit),
                reset=entitlement.reset,
                enforcement=entitlement.enforcement,
                options=entitlement.options,
                rollover=_rolled(entitlement.rollover, features[key]),
                alerts=ALERTS_DEFAULT if entitlement.alerts is None else percentages(*sorted(entitlement.alerts)),
            )
        case Static(value):
            return Static(without_noise(value))
        case Boolean():
            return entitlement


def _rolled(draft: RolloverDraft | None, feature: Feature) -> Rollover | None:
    if draft is None:
        return None
    return Rollover(None if draft.max is None else feature.parts(draft.max), draft.periods)
