"""Request bodies, made before the load begins. A job names one of these functions."""

import json
import random
from datetime import UTC, datetime

FEATURE = "calls"


def one() -> list[str]:
    """Consume one."""
    return [json.dumps({"usage": [{"feature": FEATURE, "quantity": 1}]})]


def session() -> list[str]:
    """A coaching session."""
    return [json.dumps({"title": "Weekly coaching", "language": "en-US", "stt_provider": "auto"})]


def nothing() -> list[str]:
    """For GET."""
    return [""]


def batch(size: int, subject: str) -> list[str]:
    """Many decisions for one customer in one request."""
    item = {"customer_id": subject, "usage": [{"feature": FEATURE, "quantity": 1}]}
    return [json.dumps({"items": [item] * size})]


def events(size: int, count: int, customers: int, run: str) -> list[str]:
    """`count` bodies of `size` events each; every event is another one."""
    chance = random.Random(run)
    now = datetime.now(UTC).isoformat()  # noqa: TID251
    bodies = []
    for body in range(count):
        found = [
            {
                "specversion": "1.0",
                "id": f"{run}-{body}-{index}",
                "source": "bench",
                "type": FEATURE,
                "subject": f"c{chance.randrange(customers)}",
                "time": now,
                "data": {"quantity": 1},
            }
            for index in range(size)
        ]
        bodies.append(json.dumps(found))
    return bodies


def messages(count: int, counterparties: int, run: str) -> list[str]:
    """Messages of one restaurant with its guests, in both directions; every message is another one."""
    chance = random.Random(run)
    return [
        json.dumps(
            {
                "direction": chance.choice(("inbound", "outbound")),
                "counterparty": f"+1415555{chance.randrange(counterparties):04d}",
                "message_id": f"{run}-{number}",
            }
        )
        for number in range(count)
    ]
