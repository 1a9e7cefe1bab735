"""The products that this service has: what they declare, in one list. A product of your own adds its features here, and its options."""

from typing import Final

from core.conversations.features import CONVERSATIONS
from core.conversations.window import Window
from core.learning.features import ASSESSMENTS, PRACTICE_SESSIONS
from core.operations.features import AI_COST, AI_RUNS
from core.plans.options import Option
from core.sessions.features import MAX_FILE_SIZE_MB, MINUTES, SESSIONS

PRODUCTS: Final = ("sessions", "learning", "operations", "conversations")
"""Their names, by which they are switched on and off. What they declare below is known either way: a plan means the same everywhere."""

BUILT_IN: Final = (SESSIONS, MINUTES, PRACTICE_SESSIONS, ASSESSMENTS, AI_RUNS, AI_COST, CONVERSATIONS)
"""The metered features that need no declaration."""

BUILT_IN_STATIC: Final = (MAX_FILE_SIZE_MB,)
"""The numbers that plans grant under keys of the products' own; nobody can meter them."""

OPTIONS: Final[tuple[type[Option], ...]] = (Window,)
"""What metered entitlements may say beyond their limits, each for the features that it names."""
