"""Numbers, money, dates and words as readers of a language write them, in the customer's time zone."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time
from babel.numbers import format_currency, format_decimal, format_percent, is_currency

from api.pages.texts import DEFAULT_LANGUAGE, FEATURES, TEXTS, UNITS
from core.plans.features import Feature

_DECIMALS_MAX: Final = 9


@lru_cache(maxsize=256)
def locale_of(tag: str | None) -> Locale:
    """The locale that is written `de`, `de-AT` or `de_AT`; English for none, or one that nobody knows."""
    try:
        return Locale.parse((tag or DEFAULT_LANGUAGE).replace("-", "_"))
    except (ValueError, UnknownLocaleError):
        return Locale.parse(DEFAULT_LANGUAGE)


class Formats:
    """One reader's way of writing."""

    def __init__(self, tag: str | None, zone: ZoneInfo) -> None:
        """`tag`: a language tag. One whose language has no texts here is written to in English, numbers included."""
        found = locale_of(tag)
        self.locale = found if found.language in TEXTS else locale_of(DEFAULT_LANGUAGE)
        self.zone = zone
        self._texts: Mapping[str, str] = TEXTS[self.locale.language]
        self._features = FEATURES.get(self.locale.language, {})
        self._units = UNITS.get(self.locale.language, {})

    @property
    def language(self) -> str:
        """As the page's `lang` says it."""
        return str(self.locale).replace("_", "-")

    def text(self, key: str, **values: object) -> str:
        """The text of this key. KeyError where there is none."""
        return self._texts[key].format(**values)

    def feature(self, key: str) -> str:
        """What a feature is called."""
        return self._features.get(key) or key.replace("_", " ").strip().capitalize() or key

    def number(self, value: Decimal) -> str:
        """An exact number, with its own decimals and no more."""
        return str(format_decimal(value, format=self._pattern(value), locale=self.locale))

    def amount(self, parts: int, feature: Feature) -> str:
        """A count of smallest parts with its unit: `12 minutes`, `$0.05`."""
        value = feature.units(parts)
        if is_currency(feature.unit):
            return self.money(value, feature.unit)
        one, several = self._units.get(feature.unit, (feature.unit, feature.plural))
        return f"{self.number(value)} {one if value == 1 else several}".rstrip()

    def bare(self, parts: int, feature: Feature) -> str:
        """A count of smallest parts without its unit; money is never bare."""
        value = feature.units(parts)
        return self.money(value, feature.unit) if is_currency(feature.unit) else self.number(value)

    def money(self, value: Decimal, currency: str) -> str:
        """To the cent, or with as many decimals as a smaller amount has."""
        pattern = self.locale.currency_formats["standard"].pattern
        decimals = min(max(2, _decimals(value)), _DECIMALS_MAX)
        return str(
            format_currency(
                value, currency, format=pattern.replace("0.00", f"0.{'0' * decimals}"), locale=self.locale, currency_digits=False
            )
        )

    def percent(self, tenths: Decimal) -> str:
        """A number of percent: `93.3 %` as the language writes it."""
        return str(format_percent(tenths / 100, format=None if tenths == int(tenths) else "#,##0.0 %", locale=self.locale))

    def chance(self, share: float) -> str:
        """A share of 1 in whole percent."""
        return str(format_percent(share, locale=self.locale))

    def day(self, at: datetime) -> str:
        """A date."""
        return str(format_date(at.astimezone(self.zone), "medium", locale=self.locale))

    def short_day(self, at: datetime) -> str:
        """A date without its year."""
        return str(format_skeleton("MMMd", at, tzinfo=self.zone, locale=self.locale))

    def month(self, at: datetime) -> str:
        """A month and its year."""
        return str(format_skeleton("yMMM", at, tzinfo=self.zone, locale=self.locale))

    def short_month(self, at: datetime) -> str:
        """A month alone."""
        return str(format_skeleton("MMM", at, tzinfo=self.zone, locale=self.locale))

    def moment(self, at: datetime) -> str:
        """A date and a time; at midnight the date alone."""
        local = at.astimezone(self.zone)
        if (local.hour, local.minute, local.second) == (0, 0, 0):
            return self.day(at)
        return f"{self.day(at)}, {self.time(at)}"

    def time(self, at: datetime) -> str:
        """A time of day."""
        return str(format_time(at, "short", tzinfo=self.zone, locale=self.locale))

    def _pattern(self, value: Decimal) -> str:
        decimals = min(_decimals(value), _DECIMALS_MAX)
        return f"#,##0.{'0' * decimals}" if decimals else "#,##0"


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
