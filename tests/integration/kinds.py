"""Everything that repositories keep, by example."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import MetaData

from core.conversations.conversation import Conversation
from core.conversations.message import Channel, Direction, Message, Receipt, Standing
from core.customers.customer import Customer
from core.learning.assessment import Assessment
from core.learning.learning_plan import LearningPlan
from core.learning.practice_session import Practice, PracticeSession
from core.metering.grants import Grant, GrantKind
from core.metering.idempotency import StoredReply
from core.metering.reservations import Reservation, ReservationState
from core.operations.estimate import Estimate
from core.operations.operation import Operation, OperationStatus
from core.operations.step import Step, Work
from core.plans.agreement import Addon, Agreement, Override, OwnAlerts, ScheduledPlan
from core.plans.alerts import Threshold, ThresholdType
from core.plans.features import FRACTIONS
from core.plans.periods import Billing, Interval, Weekday
from core.plans.plan import Enforcement, Metered, Plan
from core.plans.terms import TermsChange
from core.sessions.session import Session, SessionStatus, SttProvider, UploadedFile
from infrastructure.sql.driver.owned import OwnedKind
from tests.unit.fakes.conversations import ConversationsStore
from tests.unit.fakes.customers import CustomersStore
from tests.unit.fakes.learning import FakeLearningStore
from tests.unit.fakes.metering import FakeStore
from tests.unit.fakes.notes import Colour, Note
from tests.unit.fakes.operations import FakeOperationStore
from tests.unit.fakes.sessions import SessionStore

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(hours=1, microseconds=1)
PLANS = [Plan(key, 1, key, {"sessions": Metered(10)}) for key in ("pro", "free")]
ONE, TWO, THREE = (UUID(int=n) for n in (1, 2, 3))


@dataclass(frozen=True)
class Things:
    """Two of a customer's own. `other` goes by another key; `next` is the first one's next state, with every field another but the key's.

    `needs` is what has to be there before them, by its repository.
    """

    first: Any
    next: Any
    other: Any
    needs: Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What one repository keeps, by its name or by its kind. `changes`: once it is stored, a further state takes its place."""

    repository: str | type[Any]
    store: Callable[[], FakeStore]
    things: Callable[[str], Things]
    changes: bool

    def __str__(self) -> str:
        return self.repository if isinstance(self.repository, str) else self.repository.__name__


def sessions(customer: str) -> Things:
    first = Session(ONE, customer, "First talk", "en-US", SttProvider.AUTO, NOW)
    finished = Session(
        id=ONE,
        customer_id=customer,
        title="A talk",
        language="de-AT",
        stt_provider=SttProvider.WHISPER,
        created_at=LATER,
        status=SessionStatus.FAILED,
        file=UploadedFile(TWO, "audio/mp4", 55_000_000_000),
        duration_seconds=1830,
        failure_reason="silence",
        finished_at=LATER,
    )
    return Things(first, finished, replace(first, id=TWO), {})


def learning_plans(customer: str) -> Things:
    first = LearningPlan("plan", customer, "es", "B1", 8, 2, NOW)
    return Things(first, LearningPlan("plan", customer, "fr", "C1", 9, 3, LATER), replace(first, id="another"), {})


def practice_sessions(customer: str) -> Things:
    first = PracticeSession("monday", customer, started_at=NOW, reservation_id=ONE)
    saved = PracticeSession("monday", customer, "plan", LATER, TWO, Practice(540, "debate", "Spoke."), LATER, True, LATER)
    return Things(first, saved, replace(first, id="tuesday"), {"learning_plans": learning_plans(customer).first})


def assessments(customer: str) -> Things:
    first = Assessment("spring", customer, "speaking", Decimal("78.5"), NOW)
    return Things(first, Assessment("spring", customer, "writing", None, LATER), replace(first, id="summer"), {})


def operations(customer: str) -> Things:
    first = Operation(customer, "scan", "card_scan", NOW)
    over = Operation(
        customer_id=customer,
        id="scan",
        feature="page_scan",
        created_at=LATER,
        estimate=Estimate(0, 0),
        hold_id=ONE,
        status=OperationStatus.COMPLETED,
        total_cost=4_000_000_000_000_000_000,
        total_runs=3,
        step_count=4,
        finished_at=LATER,
        total_cost_fraction=FRACTIONS - 1,
        closing_cost=1,
    )
    return Things(first, over, replace(first, id="another"), {})


def steps(customer: str) -> Things:
    first = Step(customer, "scan", "ocr", 1, Work("card_scan_ocr", 1_500_000, billable_run=False), NOW)
    booked = Step(customer, "scan", "ocr", 2, Work("summary", 4_000_000_000, True, 1), LATER, over_limit=True, carried_cost=1)
    return Things(first, booked, replace(first, id="check", position=3), {"operations": operations(customer).first})


def conversations(customer: str) -> Things:
    first = Conversation(ONE, customer, "+14155552671", NOW, LATER, 1)
    merged = Conversation(ONE, customer, "+436641234567", NOW - timedelta(days=1), LATER + timedelta(days=1), 0, TWO)
    return Things(first, merged, first._replace(id=TWO), {})


def messages(customer: str) -> Things:
    receipt = Receipt(ONE, "+14155552671", NOW, LATER, 1, new_conversation=True, usage=Standing(1, 30, 29), over_limit=False)
    first = Message(customer, "m1", Direction.INBOUND, Channel.QUEUED, NOW, NOW, receipt)
    unlimited = Receipt(TWO, "+436641234567", LATER, NOW, 2, new_conversation=False, usage=Standing(31, None, None), over_limit=True)
    again = Message(customer, "m1", Direction.OUTBOUND, Channel.DIRECT, LATER, LATER, unlimited)
    return Things(first, again, first._replace(id="m2"), {})


def customers(customer: str) -> Things:
    first = Customer(customer, "pro", 1, Billing(NOW, Interval.MONTH, ZoneInfo("UTC")), created_at=NOW, updated_at=NOW)
    billing = Billing(None, Interval.WEEK, ZoneInfo("Europe/Vienna"))
    agreement = Agreement(
        ScheduledPlan(ONE, ("pro", 1), LATER),
        (Override("sessions", None), Override("minutes", 60, Enforcement.SOFT, LATER, "pilot")),
        (Addon(("free", 1), 2),),
        (OwnAlerts("minutes", (Threshold(ThresholdType.REMAINING, 60), Threshold(ThresholdType.PERCENT, 90))), OwnAlerts("sessions", ())),
    )
    where = {"email": "team@example.com", "locale": "de"}
    moved = Customer(customer, "free", 1, billing, "AT", agreement, **where, created_at=LATER, updated_at=LATER)
    return Things(first, moved, replace(first, id=f"{customer} & Co."), {})


def terms(customer: str) -> Things:
    first = TermsChange(
        id=ONE,
        customer_id=customer,
        effective_at=NOW,
        recorded_at=NOW,
        recorded_by="key 1",
        plan=("pro", 1),
        billing=Billing(NOW, Interval.MONTH, ZoneInfo("UTC")),
    )
    following = TermsChange(
        id=ONE,
        customer_id=customer,
        effective_at=LATER,
        recorded_at=LATER,
        recorded_by="key 2",
        reason="pilot",
        plan=("free", 1),
        billing=Billing(None, Interval.YEAR, ZoneInfo("Europe/Vienna"), 2, Weekday.SUNDAY),
        override=Override("minutes", 60, Enforcement.SOFT, LATER, "pilot"),
        addon=Addon(("free", 1), 2),
        withdrawn_at=LATER,
        withdrawn_by="key 3",
    )
    return Things(first, following, replace(first, id=TWO), {})


def grants(customer: str) -> Things:
    first = Grant(
        id=ONE,
        customer_id=customer,
        feature="sessions",
        kind=GrantKind.PAID,
        quantity=5,
        priority=7,
        effective_at=NOW,
        expires_at=LATER,
        reference="order 7",
        reason="top-up",
        created_at=NOW,
        created_by="key 1",
    )
    following = Grant(
        id=ONE,
        customer_id=customer,
        feature="minutes",
        kind=GrantKind.PROMOTIONAL,
        quantity=6,
        priority=8,
        effective_at=LATER,
        expires_at=None,
        reference="order 8",
        reason="another",
        created_at=LATER,
        created_by="key 2",
        voided_at=LATER,
        voided_by="key 3",
        void_reason="refund",
    )
    return Things(first, following, replace(first, id=TWO, reference=None), {})


def replies(customer: str) -> Things:
    first = StoredReply(customer, "k1", b"asked", b"answered", NOW)
    return Things(first, StoredReply(customer, "k1", b"\x00", b"", LATER), replace(first, key="k2"), {})


def reservations(customer: str) -> Things:
    first = Reservation(ONE, customer, {"sessions": 4}, {"sessions": 4}, NOW, LATER)
    committed = Reservation(
        id=ONE,
        customer_id=customer,
        usage={"sessions": 4, "minutes": 60},
        held={},
        created_at=NOW - timedelta(seconds=1),
        expires_at=NOW,
        reference="order 8",
        state=ReservationState.COMMITTED,
        finished_at=LATER,
        actual={"sessions": 5},
        late=True,
    )
    return Things(first, committed, replace(first, id=TWO), {})


def notes(customer: str) -> Things:
    first = Note(ONE, customer, NOW, "milk")
    answered = Note(
        id=ONE,
        customer_id=customer,
        created_at=LATER,
        text="e\u0301 \U0001f600",
        colour=Colour.PINK,
        stars=4_000_000_000_000_000_000,
        done=True,
        weight=Decimal("1e-20"),
        back=Colour.YELLOW,
        answer_to=TWO,
        answered_at=LATER,
        cost=Decimal("78.50"),
        place=-1,
        author="",
        read=False,
    )
    return Things(first, answered, replace(first, id=TWO), {})


NOTES = OwnedKind(Note, "desk_note", feature="notes", source="desk", within=MetaData())
"""An example of what is kept just as it is."""

KINDS = [
    Kind("sessions", SessionStore, sessions, changes=True),
    Kind("learning_plans", FakeLearningStore, learning_plans, changes=False),
    Kind("practice_sessions", FakeLearningStore, practice_sessions, changes=True),
    Kind("assessments", FakeLearningStore, assessments, changes=False),
    Kind("operations", FakeOperationStore, operations, changes=True),
    Kind("steps", FakeOperationStore, steps, changes=False),
    Kind("conversations", ConversationsStore, conversations, changes=True),
    Kind("messages", ConversationsStore, messages, changes=False),
    Kind("customers", CustomersStore, customers, changes=True),
    Kind("terms", CustomersStore, terms, changes=True),
    Kind("grants", FakeStore, grants, changes=True),
    Kind("replies", FakeStore, replies, changes=False),
    Kind("reservations", FakeStore, reservations, changes=True),
    Kind(Note, FakeStore, notes, changes=True),
]


def same_fields(one: Any, other: Any) -> set[str]:
    """The names of the fields in which two things do not differ."""
    names = [field.name for field in fields(one)] if is_dataclass(one) else one._fields
    return {name for name in names if getattr(one, name) == getattr(other, name)}
