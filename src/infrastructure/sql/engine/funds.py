"""A feature's funds as they are kept with its counter."""

import json
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from core.metering.balance import Balance
from core.metering.funds import Funds, Source
from core.metering.stored_funds import StoredFunds


def funds_json(balance: Balance) -> str | None:
    """As they are kept; None for a feature that has nothing but its allowance."""
    funds = balance.funds
    if funds is None:
        return None
    stored = {
        "used": balance.used,
        "allowance": funds.allowance,
        "allowance_used": funds.allowance_used,
        "burnt": funds.burnt,
        "uncovered": funds.uncovered,
        "since": funds.since.isoformat(),
        "until": funds.until.isoformat(),
        "agreed_at": funds.agreed_at.isoformat(),
        "sources": [_source_json(source) for source in funds.sources],
    }
    text = json.dumps(stored, separators=(",", ":"))
    if len(_written) >= _WRITTEN_MAX:
        _written.clear()
    _written[text] = StoredFunds(funds, balance.used)
    return text


_written: Final[dict[str, StoredFunds]] = {}
"""What this process wrote lately, by its text: what it reads next is nearly always the same, and need not be read anew."""

_WRITTEN_MAX: Final = 5_000


def to_funds(text: str | None) -> StoredFunds | None:
    """What was kept; None where nothing was."""
    return None if text is None else _written.get(text) or _read(text)


def _read(text: str) -> StoredFunds:
    stored = json.loads(text)
    if not stored:
        return StoredFunds(None, 0)
    funds = Funds(
        stored["allowance"],
        tuple(map(_to_source, stored["sources"])),
        datetime.fromisoformat(stored["since"]),
        datetime.fromisoformat(stored["until"]),
        datetime.fromisoformat(stored["agreed_at"]),
        stored["allowance_used"],
        stored["burnt"],
        stored["uncovered"],
    )
    return StoredFunds(funds, stored["used"])


def _source_json(source: Source) -> list[Any]:
    return [source.grant and str(source.grant), source.left, source.expires_at and source.expires_at.isoformat()]


def _to_source(stored: list[Any]) -> Source:
    grant, left, expires_at = stored
    return Source(grant and UUID(grant), left, expires_at and datetime.fromisoformat(expires_at))
