"""Watches for the end of an outage, and books what was admitted meanwhile."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from core.clock import Clock
from core.errors import BrokenCommand, DomainError, Overloaded, StorageUnavailable
from core.metering.account import CLOCK_SKEW_MAX
from core.metering.idempotency import KEPT_FOR, Replay
from core.metering.ledger import InvalidOccurredAt
from core.metering.use_case import Call, UseCase
from core.outage.admitted import AdmittedUsage
from core.outage.last_known import LastKnown
from core.plans.on_outage import OnOutage
from infrastructure.outage import measures
from infrastructure.outage.dead_letters import Rejected
from infrastructure.outage.journal import Backlog, Batch, OutageJournal
from infrastructure.outage.state import Outage, Phase

LOOK_SECONDS: Final = 10.0
"""While all is well: how long it takes until a choice that was made elsewhere, or a journal without an owner, is noticed."""
AWAY_SECONDS: Final = 1.0
ROUND_DECISIONS: Final = 500
ROUND_SECONDS_MAX: Final = 10.0
BOOKABLE_FOR: Final = KEPT_FOR - timedelta(days=1)
"""An older line may have been booked, and its key be forgotten: booking it again could count it twice."""

logger: Final = logging.getLogger("tollgate")


class Recovery:
    """Runs beside the service. One instance serves one event loop."""

    def __init__(
        self,
        outage: Outage,
        known: LastKnown,
        journal: OutageJournal,
        book: UseCase[AdmittedUsage, None],
        chosen: Callable[[], Awaitable[Mapping[str, OnOutage]]],
        clock: Clock,
    ) -> None:
        self._outage = outage
        self._known = known
        self._journal = journal
        self._book = book
        self._chosen = chosen
        self._clock = clock
        self._is_told = False

    async def run(self) -> None:
        """Looks for ever: at the start, at once when an outage begins, and now and then."""
        while True:
            try:
                await self.look()
            except Exception:
                measures.ROUNDS_FAILED.inc()
                logger.exception("What was admitted on an outage could not be booked; it is tried again")
            every = LOOK_SECONDS if self._outage.phase is Phase.NORMAL else AWAY_SECONDS
            await self._outage.begun(random.uniform(0.5, 1.5) * every)

    async def look(self) -> None:
        """What features admit is brought up to date; and where the database answers, all that waits is booked."""
        self._tell_begin()
        if not await self.learn():
            return
        self._journal.adopt()
        for backlog in list(self._journal.adopted):
            await self._catch_up_with(backlog)
        await self._catch_up()
        self._tell_end()

    async def learn(self) -> bool:
        """Reads what was chosen, and says whether the database answered."""
        try:
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                chosen = await self._chosen()
        except (DomainError, TimeoutError):
            return False
        admits = frozenset(feature for feature, choice in chosen.items() if choice is OnOutage.ADMIT)
        if admits and not self._outage.admits:
            self._journal.prepare()
        self._outage.admits = admits
        self._known.is_kept = bool(admits)
        if not admits:
            self._known.forget()
        return True

    async def _catch_up(self) -> None:
        """Books what this process admitted, and then gives decisions back to the database. While the last few are booked, they wait."""
        outage = self._outage
        if outage.phase is Phase.NORMAL and not self._journal.own_waiting:
            return
        outage.phase = Phase.CATCHING_UP
        is_done = False
        try:
            while not is_done:
                if self._journal.own_waiting <= ROUND_DECISIONS:
                    outage.hold()
                backlog = await self._journal.own()
                if backlog and not backlog.file.is_done:
                    batch = await self._book_round(backlog)
                    if batch is None:
                        return
                    self._forget(batch.decisions)
                elif outage.is_held:
                    self._journal.tidy()
                    is_done = True
        finally:
            if is_done:
                outage.end()
            else:
                outage.phase = Phase.AWAY
                outage.release()

    async def _catch_up_with(self, backlog: Backlog) -> None:
        """Books what another process left."""
        while not backlog.file.is_done:
            if await self._book_round(backlog) is None:
                return
        self._journal.tidy()

    def _forget(self, decisions: Sequence[AdmittedUsage]) -> None:
        """They were this process's, and the database has them now."""
        for decision in decisions:
            self._outage.answers.pop(decision.reply_key, None)
            self._known.settle(decision)

    async def _book_round(self, backlog: Backlog) -> Batch | None:
        """Books the next decisions. None where that did not go well: it is done again as a whole, which changes nothing that is booked."""
        batch = await backlog.oldest(ROUND_DECISIONS)
        oldest = self._clock() - BOOKABLE_FOR
        young = [decision for decision in batch.decisions if decision.admitted_at > oldest]
        outcomes = await self._booked(young)
        if outcomes is None:
            return None
        rejected = [
            Rejected(decision, outcome) for decision, outcome in zip(young, outcomes, strict=True) if isinstance(outcome, DomainError)
        ]
        rejected += [Rejected(decision, self._too_old(decision)) for decision in batch.decisions if decision.admitted_at <= oldest]
        backlog.settle(batch, rejected)
        return batch

    async def _booked(self, decisions: Sequence[AdmittedUsage]) -> Sequence[Replay | DomainError | None] | None:
        """The outcomes; None where the database went away again, or is too busy."""
        calls = [Call(decision, decision.once) for decision in decisions]
        if not calls:
            return ()
        try:
            async with asyncio.timeout(ROUND_SECONDS_MAX):
                outcomes = await self._book.execute(calls)
        except (StorageUnavailable, Overloaded, TimeoutError):
            return None
        except Exception:
            if len(calls) > 1:
                raise
            logger.exception("An admitted decision failed when it was to be booked")
            return [BrokenCommand()]
        return None if any(isinstance(outcome, StorageUnavailable | Overloaded) for outcome in outcomes) else outcomes

    def _too_old(self, decision: AdmittedUsage) -> InvalidOccurredAt:
        now = self._clock()
        return InvalidOccurredAt(decision.occurred_at, now - BOOKABLE_FOR, now + CLOCK_SKEW_MAX)

    def _tell_begin(self) -> None:
        is_away = self._outage.phase is not Phase.NORMAL
        measures.AWAY.set(is_away)
        if is_away and not self._is_told:
            self._is_told = True
            logger.warning(
                "The database does not answer: %s are decided by last known balances, and journalled in %s",
                ", ".join(sorted(self._outage.admits)),
                self._journal.directory,
            )

    def _tell_end(self) -> None:
        if self._outage.phase is Phase.NORMAL and self._is_told:
            self._is_told = False
            measures.AWAY.set(0)
            logger.warning("The database answers again, and what was admitted meanwhile has been booked")
