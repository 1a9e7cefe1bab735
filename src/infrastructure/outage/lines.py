"""A decision as a line of a journal: a checksum, and what has to be known to book it."""

import json
import zlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.metering.balance import Usage
from core.metering.ledger import Origin
from core.outage.admitted import AdmittedUsage

VERSION: Final = 1


class UnreadableLine(Exception):
    """A line that is not what was written, or was written by a later release."""


def encoded(decision: AdmittedUsage) -> bytes:
    """One line, its end included."""
    content = json.dumps(to_json(decision), separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def decoded(line: bytes) -> AdmittedUsage:
    """Raises UnreadableLine."""
    checksum, _, content = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(content):
        raise UnreadableLine("the checksum is not that of the line")
    try:
        return _from_json(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableLine(f"not a decision as version {VERSION} writes it: {error!r}") from error


def to_json(decision: AdmittedUsage) -> dict[str, Any]:
    """For people to read, too."""
    return {
        "v": VERSION,
        "customer_id": decision.customer_id,
        "key": decision.key,
        "fingerprint": decision.fingerprint.hex(),
        "reply": decision.reply.decode(),
        "admitted_at": decision.admitted_at.isoformat(),
        "occurred_at": decision.occurred_at.isoformat(),
        "origin": list(decision.origin),
        "records": [[str(id), *usage] for id, usage in decision.records],
    }


def _from_json(stored: dict[str, Any]) -> AdmittedUsage:
    if stored["v"] != VERSION:
        raise ValueError(f"version {stored['v']!r}")
    return AdmittedUsage(
        customer_id=stored["customer_id"],
        key=stored["key"],
        fingerprint=bytes.fromhex(stored["fingerprint"]),
        reply=stored["reply"].encode(),
        admitted_at=datetime.fromisoformat(stored["admitted_at"]),
        occurred_at=datetime.fromisoformat(stored["occurred_at"]),
        origin=Origin(*stored["origin"]),
        records=[(UUID(id), Usage(*usage)) for id, *usage in stored["records"]],
    )
