"""Decisions while the database is away: by the last known balances, for the features of which the operator has chosen that."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from core.clock import Clock
from core.errors import DomainError, StorageUnavailable
from core.metering.account import Account
from core.metering.bookkeeping import BooksNotLoaded
from core.metering.consume_usage import Consumed, ConsumeUsageCommand, consume
from core.metering.counters import PeriodNotLoaded
from core.metering.idempotency import Replay, ReplyKey, StoredReply
from core.metering.use_case import Call, UseCase
from core.outage.admitted import AdmittedUsage, admitted
from core.outage.last_known import LastKnown
from core.plans.features import FeatureCatalog
from infrastructure.outage import measures
from infrastructure.outage.journal import OutageJournal
from infrastructure.outage.state import Answered, Outage, Phase

Outcome: TypeAlias = Consumed | Replay | DomainError


class _Decided(NamedTuple):
    """An outcome, and the write that it has to wait for: of its own line, or of one that another caller waits for too."""

    outcome: Outcome
    written: "asyncio.Future[None] | None" = None


class AdmitOnOutage:
    """A decorator with the use case's own signature. Where no feature admits, it does nothing.

    - What the database decided stands. Only where it did not answer, and nothing is booked, is a decision made here. Where a commit's
      outcome is unknown, only for a call with an idempotency key: it is booked under that key, and so at most once.
    - While the database is away, and until all that was admitted is booked, decisions are made here at once.
    - A call is left to the database that names a feature that does not admit, or a customer that this process has not seen; or where
      the journal takes no more.
    """

    def __init__(
        self,
        use_case: UseCase[ConsumeUsageCommand, Consumed],
        outage: Outage,
        known: LastKnown,
        journal: OutageJournal,
        catalog: FeatureCatalog,
        clock: Clock,
        new_id: Callable[[], UUID],
    ) -> None:
        self._use_case = use_case
        self._outage = outage
        self._known = known
        self._journal = journal
        self._catalog = catalog
        self._clock = clock
        self._new_id = new_id
        self._writing: set[asyncio.Task[None]] = set()

    def execute(self, calls: Sequence[Call[ConsumeUsageCommand]]) -> Coroutine[Any, Any, Sequence[Outcome]]:
        """Raises as the use case does."""
        if not self._outage.admits and self._outage.phase is Phase.NORMAL:
            return self._use_case.execute(calls)
        return self._execute(calls)

    async def _execute(self, calls: Sequence[Call[ConsumeUsageCommand]]) -> Sequence[Outcome]:
        while self._outage.phase is not Phase.NORMAL:
            held = self._outage.is_held
            await self._outage.released()
            if not held:
                return await self._while_away(calls)
        outcomes = await self._asked(calls)
        failed = [place for place, outcome in enumerate(outcomes) if self._may_admit(calls[place], outcome)]
        if failed:
            self._outage.begin()
            made = dict(zip(failed, await self._decide([calls[place] for place in failed]), strict=True))
            outcomes = [made.get(place) or outcome for place, outcome in enumerate(outcomes)]
        return outcomes

    async def _while_away(self, calls: Sequence[Call[ConsumeUsageCommand]]) -> Sequence[Outcome]:
        decided = await self._decide(calls)
        left = [place for place, outcome in enumerate(decided) if outcome is None]
        asked = await self._asked([calls[place] for place in left]) if left else ()
        answers = dict(zip(left, asked, strict=True))
        return [answers[place] if outcome is None else outcome for place, outcome in enumerate(decided)]

    async def _asked(self, calls: Sequence[Call[ConsumeUsageCommand]]) -> Sequence[Outcome]:
        try:
            return await self._use_case.execute(calls)
        except StorageUnavailable as away:
            return [StorageUnavailable(outcome_unknown=away.outcome_unknown) for _ in calls]

    def _may_admit(self, call: Call[ConsumeUsageCommand], outcome: Outcome) -> bool:
        if not isinstance(outcome, StorageUnavailable) or not self._admits(call.command):
            return False
        if outcome.outcome_unknown:
            if call.once is None:
                return False
            self._outage.unknown.add(ReplyKey(call.command.customer_id, call.once.key))
        return True

    def _admits(self, command: ConsumeUsageCommand) -> bool:
        return all(amount.feature in self._outage.admits for amount in command.amounts)

    async def _decide(self, calls: Sequence[Call[ConsumeUsageCommand]]) -> list[Outcome | None]:
        """What is decided here, durable; None for a call that is not."""
        now = self._clock()
        lines: list[AdmittedUsage] = []
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        decided = [self._decided(call, now, lines, written) for call in calls]
        if lines:
            task = asyncio.create_task(self._write(lines, written))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return [await _told(item) if item else None for item in decided]

    def _decided(
        self, call: Call[ConsumeUsageCommand], now: datetime, lines: list[AdmittedUsage], written: "asyncio.Future[None]"
    ) -> _Decided | None:
        """Adds what is admitted to the lines, and counts it from now on."""
        command, once = call
        key = ReplyKey(command.customer_id, once.key) if once else None
        answered = self._outage.answers.get(key) if key else None
        if once and answered:
            try:
                return _Decided(answered.stored.replayed(once), answered.written)
            except DomainError as reused:
                return _Decided(reused)
        if not self._admits(command):
            return None
        if not self._journal.accepts(now):
            measures.NOT_WRITTEN.inc()
            return None
        features = {amount.feature for amount in command.amounts}
        account = self._known.account(command.customer_id, features, now, self._catalog, self._new_id)
        if account is None:
            return None
        try:
            consumed = _consumed(command, account)._replace(degraded=True)
        except DomainError as refusal:
            return None if key in self._outage.unknown else _Decided(refusal)
        # With a space in it, a key that is made up can be no caller's.
        line = admitted(command, once, consumed, now, f"outage {self._new_id()}")
        self._known.count(line, account)
        if key:
            stored = StoredReply(*key, line.fingerprint, line.reply, now)
            self._outage.answers[key] = Answered(stored, written)
        lines.append(line)
        return _Decided(consumed, written)

    async def _write(self, lines: Sequence[AdmittedUsage], written: "asyncio.Future[None]") -> None:
        try:
            await self._journal.append(lines)
        except BaseException as error:
            for line in lines:
                self._outage.answers.pop(line.reply_key, None)
                self._known.settle(line)
            unknown = not isinstance(error, StorageUnavailable) or error.outcome_unknown
            written.set_exception(StorageUnavailable(outcome_unknown=unknown))
            written.exception()  # perhaps nobody waits any more
            if not isinstance(error, StorageUnavailable):
                raise
        else:
            written.set_result(None)


async def _told(item: _Decided) -> Outcome:
    if item.written is not None:
        try:
            await asyncio.shield(item.written)  # a caller that goes away leaves the others undisturbed
        except StorageUnavailable as error:
            return StorageUnavailable(outcome_unknown=error.outcome_unknown)
    return item.outcome


def _consumed(command: ConsumeUsageCommand, account: Account) -> Consumed:
    """Of a period other than the current one nothing is known here: it is measured when it is booked."""
    while True:
        try:
            return consume(command, account)
        except PeriodNotLoaded as missing:
            period = account.unknown_period(missing.meter.feature, missing.at)
            assert period is not None
            account.learn(missing.meter.feature, period, 0)
        except BooksNotLoaded as closed:
            account.forgo_books(closed.meter.feature)
