"""Costs below a smallest part: an operation's steps are added up exactly, and booked in whole nano-dollars.

A cost is counted in fractions of a nano-dollar, of which 10^18 make one: 10^-27 dollars. No step is rounded on its own.
"""

from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Final

from core.operations.features import AI_COST
from core.plans.features import FRACTIONS, SIGNIFICANT_DIGITS_MAX

_SHOWN: Final = Context(prec=SIGNIFICANT_DIGITS_MAX, rounding=ROUND_HALF_EVEN)


def half_even(fractions: int) -> int:
    """What is booked of a sum in the end: nano-dollars, rounded once."""
    return round(Fraction(fractions, FRACTIONS))


def reached(fractions: int) -> int:
    """What is booked of a sum that may still grow: the whole nano-dollars that it has reached, as it is shown.

    Shown are 15 significant digits, so that a sum in doubles that is a tail short of 2.1 (0.7 * 3 is 2.0999999999999996) has reached it.
    It is never more than what `half_even` makes of it.
    """
    shown = int(_SHOWN.create_decimal(fractions))
    return max(fractions // FRACTIONS, min(half_even(fractions), shown // FRACTIONS))


def dollars(fractions: int) -> Decimal:
    """As it is shown, to 15 significant digits."""
    return _SHOWN.divide(Decimal(fractions), Decimal(FRACTIONS * AI_COST.resolution))
