"""Writes `day.jsonl.gz`: the day of a restaurant's messages that the replay test sends. Run it again and it writes the same.

    python tests/integration/data/record_day.py

10,000 messages with 400 guests within 23 hours, in the order in which they arrive: each up to five minutes after it was sent, and
5 % of them twice. `seconds` is when a message was sent, counted from the end of the day. Guests write in bursts, with pauses around
the two hours that a window is long in the test, so that late messages open, move, extend and connect conversations.
"""

import gzip
import json
import random
from pathlib import Path

FILE = Path(__file__).with_name("day.jsonl.gz")
GUESTS = 400
MESSAGES = 10_000
REPEATED = 500
DAY_SECONDS = 23 * 3600
LATE_SECONDS_MAX = 300
PAUSES_SECONDS = (40, 240, 1800, 6900, 7100, 7200, 7201, 7300, 9000, 20_000)


def spelled(chance: random.Random, guest: int) -> str:
    line = 2000 + guest
    return chance.choice([f"+1 (415) 555-{line}", f"1415555{line}", f"(415) 555-{line}", f"+1415555{line}"])


def sent_by(chance: random.Random, count: int) -> list[float]:
    """One guest's instants, seconds from the start of the day."""
    at, instants = chance.uniform(0, 3 * 3600), []
    while len(instants) < count:
        instants.append(round(at % DAY_SECONDS, 3))
        pause = chance.choices(PAUSES_SECONDS, weights=(30, 20, 10, 4, 4, 4, 4, 4, 4, 2))[0]
        at += pause if chance.random() < 0.3 else chance.uniform(0.2, 1.1) * pause
    return instants


def day() -> list[str]:
    """The lines, in order of arrival."""
    chance = random.Random(20_261_121)
    arrivals: list[tuple[float, dict[str, object]]] = []
    for guest in range(GUESTS):
        for seconds in sent_by(chance, MESSAGES // GUESTS):
            message = {
                "seconds": round(seconds - DAY_SECONDS, 3),
                "direction": chance.choice(["inbound", "outbound"]),
                "counterparty": spelled(chance, guest),
                "message_id": f"wamid.{len(arrivals):05}",
                "channel": chance.choice(["queued", "direct"]),
            }
            arrivals.append((seconds + chance.uniform(0, LATE_SECONDS_MAX), message))
    for _, message in chance.sample(arrivals, REPEATED):
        arrivals.append((float(str(message["seconds"])) + DAY_SECONDS + chance.uniform(0, LATE_SECONDS_MAX), message))
    return [json.dumps(message) for _, message in sorted(arrivals, key=lambda arrival: arrival[0])]


def recorded() -> list[str]:
    """What the file holds."""
    return gzip.decompress(FILE.read_bytes()).decode().splitlines()


if __name__ == "__main__":
    FILE.write_bytes(gzip.compress("\n".join(day()).encode() + b"\n", mtime=0))
