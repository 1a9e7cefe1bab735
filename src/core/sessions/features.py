"""What coaching sessions meter, and what else they ask of a plan."""

from typing import Final

from core.plans.features import Feature

SESSIONS: Final = Feature("sessions", "session")
MINUTES: Final = Feature("minutes", "minute", 60)

MAX_FILE_SIZE_MB: Final = "max_file_size_mb"
"""The static feature that bounds an upload. A megabyte is 1,000,000 bytes."""
