"""How the command line shows entitlements."""

from datetime import timedelta
from decimal import Decimal

import pytest

from api.commands.plans import told
from core.conversations.features import CONVERSATIONS
from core.conversations.window import Extends, Window
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Entitlement, Metered, Static

HOURLY = Window(timedelta(hours=1), messages_max=5, extends=Extends.INBOUND)


@pytest.mark.parametrize(
    ("entitlement", "text"),
    [
        (Metered(5, Reset.MONTH), "5 conversations per month (hard)"),
        (Metered(None, Reset.NEVER, Enforcement.SOFT), "unlimited conversations in all (soft)"),
        (
            Metered(5, Reset.MONTH, options=(HOURLY,)),
            "5 conversations per month (hard) of 3600 s after the latest inbound message, at most 5 messages",
        ),
        (Static(Decimal("2.50")), "2.50"),
        (Boolean(enabled=True), "on"),
        (Boolean(enabled=False), "off"),
    ],
)
def test_an_entitlement_is_shown_in_a_few_words_with_its_options(entitlement: Entitlement, text: str) -> None:
    assert told(entitlement, CONVERSATIONS) == text
