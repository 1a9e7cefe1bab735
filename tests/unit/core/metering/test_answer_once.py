"""A request that concerns many customers is answered once per key."""

from collections.abc import Callable

import pytest

from core.errors import DomainError, StorageUnavailable
from core.metering.answer_once import AnswerOnce
from core.metering.idempotency import IdempotencyKeyReused, ReplyKey, StoredReply
from tests.unit.fakes.examples import ACME, NOW, PRO
from tests.unit.fakes.metering import FakeStore, FakeUnitOfWork

OWNER = "\x1fkey:importer"


@pytest.fixture
def store() -> FakeStore:
    return FakeStore([PRO], [ACME])


class Answers:
    """What the request would do, and how often it did."""

    def __init__(self, answer: bytes = b"3 booked") -> None:
        self.answer = answer
        self.given = 0

    async def __call__(self) -> bytes:
        self.given += 1
        return self.answer


def answer_once(store: FakeStore, unit_of_work: Callable[[], FakeUnitOfWork] | None = None) -> AnswerOnce:
    return AnswerOnce(unit_of_work or store.unit_of_work, lambda: NOW)


def overtaken(store: FakeStore, theirs: StoredReply) -> AnswerOnce:
    """Somebody else stores theirs before our commit."""

    class OvertakenUnitOfWork(FakeUnitOfWork):
        async def commit(self) -> None:
            store.replies[ReplyKey(theirs.customer_id, theirs.key)] = theirs
            await super().commit()

    return answer_once(store, lambda: OvertakenUnitOfWork(store))


def stored(fingerprint: bytes = b"input", reply: bytes = b"theirs") -> StoredReply:
    return StoredReply(customer_id=OWNER, key="k", fingerprint=fingerprint, reply=reply, answered_at=NOW)


# An answer.


async def test_the_first_request_is_carried_out_and_its_answer_kept(store: FakeStore) -> None:
    answers = Answers()
    assert await answer_once(store).execute("key:importer", "k", b"input", answers) == (b"3 booked", False)
    assert answers.given == 1
    assert store.replies == {ReplyKey(OWNER, "k"): stored(reply=b"3 booked")}


async def test_a_repeat_gets_the_kept_answer_and_is_not_carried_out(store: FakeStore) -> None:
    await answer_once(store).execute("key:importer", "k", b"input", Answers())
    repeat = Answers(b"0 booked")
    assert await answer_once(store).execute("key:importer", "k", b"input", repeat) == (b"3 booked", True)
    assert repeat.given == 0


async def test_an_answer_of_no_bytes_is_an_answer_too(store: FakeStore) -> None:
    await answer_once(store).execute("key:importer", "k", b"input", Answers(b""))
    repeat = Answers()
    assert await answer_once(store).execute("key:importer", "k", b"input", repeat) == (b"", True)
    assert repeat.given == 0


async def test_the_same_key_with_other_input_is_refused_and_not_carried_out(store: FakeStore) -> None:
    await answer_once(store).execute("key:importer", "k", b"input", Answers())
    other = Answers()
    with pytest.raises(IdempotencyKeyReused) as refusal:
        await answer_once(store).execute("key:importer", "k", b"other input", other)
    assert (refusal.value.key, other.given) == ("k", 0)


async def test_another_callers_key_and_a_customers_own_are_other_keys(store: FakeStore) -> None:
    store.replies[ReplyKey("key:importer", "k")] = stored()  # a customer of that very name
    for caller in ("key:importer", "key:another"):
        assert (await answer_once(store).execute(caller, "k", b"input", Answers()))[1] is False


async def test_a_request_that_fails_keeps_no_answer_and_can_be_repeated(store: FakeStore) -> None:
    async def failing() -> bytes:
        raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        await answer_once(store).execute("key:importer", "k", b"input", failing)
    assert store.replies == {}
    assert (await answer_once(store).execute("key:importer", "k", b"input", Answers()))[1] is False


@pytest.mark.parametrize("theirs", [b"theirs", b""])
async def test_of_two_at_once_both_get_the_answer_that_was_kept_first(store: FakeStore, theirs: bytes) -> None:
    assert await overtaken(store, stored(reply=theirs)).execute("key:importer", "k", b"input", Answers()) == (theirs, True)
    assert store.replies[ReplyKey(OWNER, "k")].reply == theirs


async def test_of_two_at_once_with_other_input_one_is_refused(store: FakeStore) -> None:
    with pytest.raises(IdempotencyKeyReused):
        await overtaken(store, stored(b"other input")).execute("key:importer", "k", b"input", Answers())


async def test_an_answer_that_was_kept_first_and_is_gone_again_is_given_as_it_was_found(store: FakeStore) -> None:
    class Swept(FakeUnitOfWork):
        """The sweeper removes what the other one stored."""

        async def commit(self) -> None:
            store.replies[ReplyKey(OWNER, "k")] = stored()
            try:
                await super().commit()
            finally:
                store.replies.clear()

    answered = await answer_once(store, lambda: Swept(store)).execute("key:importer", "k", b"input", Answers())
    assert answered == (b"3 booked", True)


# A claim.


async def test_a_claim_ties_the_key_to_its_input(store: FakeStore) -> None:
    await answer_once(store).claim("key:importer", "k", b"input")
    assert store.replies == {ReplyKey(OWNER, "k"): stored(reply=b"")}
    with pytest.raises(IdempotencyKeyReused):
        await answer_once(store).claim("key:importer", "k", b"other input")


async def test_claiming_again_with_the_same_input_goes_on_and_writes_nothing(store: FakeStore) -> None:
    await answer_once(store).claim("key:importer", "k", b"input")
    await answer_once(store).claim("key:importer", "k", b"input")
    assert [unit.committed for unit in store.opened] == [False, True, False]


@pytest.mark.parametrize(("fingerprint", "refused"), [(b"input", False), (b"other input", True)])
async def test_a_claim_that_is_overtaken_goes_on_where_the_input_is_the_same(store: FakeStore, fingerprint: bytes, refused: bool) -> None:
    claiming = overtaken(store, stored(fingerprint)).claim("key:importer", "k", b"input")
    if refused:
        with pytest.raises(DomainError):
            await claiming
    else:
        await claiming
    assert store.replies[ReplyKey(OWNER, "k")].fingerprint == fingerprint
