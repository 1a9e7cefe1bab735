"""Time enters at the edge: one clock, read once per use case."""

from collections.abc import Callable
from datetime import datetime

Clock = Callable[[], datetime]
"""The current instant, aware UTC."""
