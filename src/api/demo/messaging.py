"""A restaurant on a plan of three 24-hour conversations a month."""

from collections.abc import Iterator

from api.demo.stage import Customer, Row, Stage, refusal


def play(stage: Stage) -> Iterator[Row]:
    """Guests write and are answered, to the edge of the quota and beyond it."""
    quota = {"conversations": {"type": "metered", "limit": 3, "reset": "month"}}
    stage.plan("demo_messaging", {"name": "Three conversations", "entitlements": quota})
    restaurant = stage.customer("restaurant-rosa", "demo_messaging", phone_region="US")

    yield Row("a guest writes from +1 (415) 555-2671", _message(restaurant, "inbound", "+1 (415) 555-2671", "m1"))
    yield Row("the restaurant answers (415) 555-2671", _message(restaurant, "outbound", "(415) 555-2671", "m2"))
    for number in (2, 3):
        _message(restaurant, "inbound", f"+1415555267{number}", f"guest-{number}")
    yield Row("two more guests write; one is answered", _message(restaurant, "outbound", "+14155552672", "m3"))

    fourth = {"direction": "outbound", "counterparty": "+14155552679", "message_id": "m4"}
    yield Row("it writes to a fourth guest first", refusal(restaurant.report("/messages", fourth, expect=429)))
    yield Row("the fourth guest writes", _message(restaurant, "inbound", "+14155552679", "m5"))


def _message(restaurant: Customer, direction: str, counterparty: str, id: str) -> str:
    answer = restaurant.report("/messages", {"direction": direction, "counterparty": counterparty, "message_id": id})
    conversation, usage = answer["conversation"], answer["usage"]
    kind = "a new conversation" if answer["new_conversation"] else f"message {conversation['message_count']} of the same"
    over = ", over the limit" if answer["over_limit"] else ""
    return f"201, {kind}; {usage['used']} of {usage['limit']} used{over}"
