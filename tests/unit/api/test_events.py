"""Reading many events."""

import asyncio

from api.v1.bodies import ITEMS_MAX
from api.v1.events import READ_AT_ONCE, read_events


async def test_other_requests_get_their_turn_while_a_long_list_is_read() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    events = [{"specversion": "1.0", "id": str(n), "source": "s", "type": "calls", "subject": "acme"} for n in range(ITEMS_MAX)]

    commands, indexes, rejected = await read_events(events, "admin", {})

    task.cancel()
    assert ([command.event_id for command in commands], indexes, rejected) == ([event["id"] for event in events], [*range(ITEMS_MAX)], [])
    assert turns >= ITEMS_MAX // READ_AT_ONCE - 1
