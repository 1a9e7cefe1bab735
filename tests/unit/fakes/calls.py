"""Commands as use cases take them."""

from typing import Any

from core.metering.use_case import Call


def calls(*commands: Any) -> list[Call[Any]]:
    """Calls of these commands; what is a call already, with an idempotency key, stays one."""
    return [command if isinstance(command, Call) else Call(command) for command in commands]
