import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from core.access.service_keys import Scope, ServiceKey, generate
from core.errors import StorageUnavailable
from infrastructure.batching.gathered_keys import GatheredServiceKeys
from tests.unit.fakes.service_keys import FakeServiceKeyReader

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FIRST, SECOND, THIRD = (generate(uuid4(), Scope.READ, NOW)[0] for _ in range(3))


class SlowServiceKeys(FakeServiceKeyReader):
    """Reads when a lookup starts, as a database snapshot does, and answers when the test says so."""

    def __init__(self, *keys: ServiceKey) -> None:
        super().__init__(keys)
        self.lookups: list[frozenset[UUID]] = []
        self.answers: list[asyncio.Future[None]] = []
        self.is_quick = False

    async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
        found = await super().find(ids)
        self.lookups.append(frozenset(ids))
        self.answers.append(asyncio.get_running_loop().create_future())
        if not self.is_quick:
            await self.answers[-1]
        return found


def call(keys: GatheredServiceKeys, *wanted: ServiceKey) -> asyncio.Task[Mapping[UUID, ServiceKey]]:
    return asyncio.ensure_future(keys.find([key.id for key in wanted]))


async def settle() -> None:
    """Lets everything run that can run."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_single_call_is_answered_with_the_existing_keys() -> None:
    keys = GatheredServiceKeys(FakeServiceKeyReader([FIRST]))

    assert await keys.find([FIRST.id, SECOND.id]) == {FIRST.id: FIRST}
    assert await keys.find([SECOND.id]) == {}


async def test_calls_that_come_in_during_a_lookup_share_the_next_one_and_get_their_own_keys_each() -> None:
    slow = SlowServiceKeys(FIRST, SECOND, THIRD)
    keys = GatheredServiceKeys(slow)
    first = call(keys, FIRST)
    await settle()
    later = [call(keys, SECOND), call(keys, THIRD), call(keys, SECOND, THIRD), call(keys)]
    await settle()
    assert slow.lookups == [{FIRST.id}]

    slow.answers[0].set_result(None)
    await settle()
    assert slow.lookups == [{FIRST.id}, {SECOND.id, THIRD.id}]
    slow.answers[1].set_result(None)

    assert await first == {FIRST.id: FIRST}
    assert await asyncio.gather(*later) == [{SECOND.id: SECOND}, {THIRD.id: THIRD}, {SECOND.id: SECOND, THIRD.id: THIRD}, {}]
    assert len(slow.lookups) == 2


async def test_a_key_that_was_revoked_before_the_call_is_never_seen_as_valid() -> None:
    slow = SlowServiceKeys(FIRST)
    keys = GatheredServiceKeys(slow)
    before = call(keys, FIRST)
    await settle()

    slow.revoke(FIRST.id, NOW)
    after = call(keys, FIRST)
    await settle()
    slow.answers[0].set_result(None)
    await settle()
    slow.answers[1].set_result(None)

    assert (await before)[FIRST.id].revoked_at is None
    assert (await after)[FIRST.id].revoked_at == NOW


async def test_a_call_right_after_a_lookup_has_started_does_not_join_it() -> None:
    class Calling(FakeServiceKeyReader):
        """Calls again from within the first lookup: the earliest moment that is too late for it."""

        again: asyncio.Task[Mapping[UUID, ServiceKey]] | None = None

        async def find(self, ids: Sequence[UUID]) -> Mapping[UUID, ServiceKey]:
            found = await super().find(ids)
            if self.again is None:
                self.revoke(FIRST.id, NOW)
                self.again = asyncio.ensure_future(keys.find(ids))
                await settle()
            return found

    inner = Calling([FIRST])
    keys = GatheredServiceKeys(inner)
    await keys.find([FIRST.id])

    assert inner.again is not None
    assert (await inner.again)[FIRST.id].revoked_at == NOW


async def test_a_caller_that_gives_up_leaves_the_others_of_its_lookup_undisturbed() -> None:
    slow = SlowServiceKeys(FIRST, SECOND)
    keys = GatheredServiceKeys(slow)
    impatient, patient = call(keys, FIRST), call(keys, SECOND)
    await settle()

    impatient.cancel()
    await settle()
    slow.answers[0].set_result(None)

    assert impatient.cancelled()
    assert await patient == {SECOND.id: SECOND}


async def test_the_caller_that_opened_a_gathering_may_give_up_before_its_lookup_starts() -> None:
    slow = SlowServiceKeys(FIRST, SECOND)
    keys = GatheredServiceKeys(slow)
    call(keys, FIRST)
    await settle()
    opener, other = call(keys, FIRST), call(keys, SECOND)
    await settle()

    opener.cancel()
    slow.answers[0].set_result(None)
    await settle()
    slow.answers[1].set_result(None)

    assert await other == {SECOND.id: SECOND}


async def test_when_all_callers_of_a_lookup_have_given_up_the_next_call_is_answered() -> None:
    slow = SlowServiceKeys(FIRST)
    keys = GatheredServiceKeys(slow)
    gone = call(keys, FIRST)
    await settle()
    gone.cancel()
    await settle()

    back = call(keys, FIRST)
    await settle()
    slow.answers[0].set_exception(StorageUnavailable())  # nobody is left to be told, and nobody else is
    await settle()
    slow.answers[1].set_result(None)

    assert await back == {FIRST.id: FIRST}


async def test_an_error_reaches_all_callers_of_its_lookup_and_none_of_the_next() -> None:
    slow = SlowServiceKeys(FIRST)
    keys = GatheredServiceKeys(slow)
    failing = [call(keys, FIRST), call(keys, FIRST), call(keys, SECOND)]
    await settle()
    following = call(keys, FIRST)
    await settle()

    slow.answers[0].set_exception(StorageUnavailable())
    outcomes = await asyncio.gather(*failing, return_exceptions=True)
    slow.answers[1].set_result(None)

    assert [type(outcome) for outcome in outcomes] == [StorageUnavailable] * 3
    assert await following == {FIRST.id: FIRST}


async def test_a_lookup_that_never_ends_is_given_up_and_holds_nobody_up() -> None:
    slow = SlowServiceKeys(FIRST)
    keys = GatheredServiceKeys(slow, lookup_seconds_max=0.01)

    with pytest.raises(StorageUnavailable):
        await keys.find([FIRST.id])

    slow.is_quick = True  # or the next lookup could take that long, too, on a busy machine
    assert await keys.find([FIRST.id]) == {FIRST.id: FIRST}


async def test_all_keys_are_those_of_the_reader_behind() -> None:
    assert list(await GatheredServiceKeys(FakeServiceKeyReader([FIRST])).all()) == [FIRST]
