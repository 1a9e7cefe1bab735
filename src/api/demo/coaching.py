"""A coach on the plan `free`: ten sessions, a hundred minutes, files of 25 MB."""

from collections.abc import Iterator
from typing import Any

from api.demo.stage import Row, Stage, refusal


def play(stage: Stage) -> Iterator[Row]:
    """From the first session to the refusal at the limit, and the top-up that is sold then."""
    coach = stage.customer("coach-carla", "free")
    session = {"title": "Weekly coaching", "language": "en-US", "stt_provider": "auto"}
    first = coach.post("/sessions", session)
    yield Row("creates a session", f"201, {first['status']}")

    large = {"filename": "day.wav", "content_type": "audio/wav", "size_bytes": 55_000_000}
    yield Row("wants to upload 55 MB", refusal(coach.post(f"/sessions/{first['id']}/upload-url", large, expect=413)))

    audio = b"\x00" * 100_000
    small = {"filename": "talk.m4a", "content_type": "audio/mp4", "size_bytes": len(audio)}
    coach.upload(coach.post(f"/sessions/{first['id']}/upload-url", small, expect=200), audio)
    confirmed = coach.post(f"/sessions/{first['id']}/confirm-upload", expect=200)
    yield Row("uploads 100 kB instead, and confirms", f"200, {confirmed['status']}")

    done = coach.report(f"/sessions/{first['id']}/complete", {"duration_seconds": 1830}, expect=200)
    minutes = coach.get(f"/customers/{coach.id}/usage")["features"]["minutes"]
    yield Row("the talk took 30.5 minutes", f"200, {done['status']}; {minutes['display']} minutes left")

    for _ in range(9):
        coach.post("/sessions", session)
    yield Row("creates nine more, and an eleventh", refusal(coach.post("/sessions", session, expect=403)))

    sold = coach.sell("sessions", 5)
    yield Row("buys five more, on top of the plan's ten", f"201, {sold['kind']}, {sold['balance']['remaining']} left of {_limit(sold)}")

    coach.post("/sessions", session)
    left = coach.get(f"/customers/{coach.id}/grants/{sold['id']}")
    yield Row("creates the eleventh", f"201; {left['used']} of the five are used, by {len(left['entries'])} record")


def _limit(sold: dict[str, Any]) -> int:
    limit: int = sold["balance"]["limit"]
    return limit
