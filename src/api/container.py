"""The composition root: the only module that knows which adapter stands behind which port."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar
from uuid import UUID

import httpx
from dependency_injector import containers, providers

from api.settings import Settings, revealed
from core.access.authenticate import Authenticator
from core.access.create_key import CreateKey
from core.access.ports import ServiceKeyReader, UserTokens
from core.access.revoke_key import RevokeKey
from core.access.rotate_key import RotateKey
from core.clock import Clock
from core.conversations.record_message import RecordMessage
from core.customers.export_customer import ExportCustomer
from core.customers.list_customers import ListCustomers
from core.customers.move_plan import MovePlan
from core.customers.override_limit import EndOverride, OverrideLimit
from core.customers.own_alerts import EndAlerts, PutAlerts
from core.customers.put_addon import PutAddon
from core.customers.put_customer import ChangeCustomer, PutCustomer
from core.customers.schedule_plan import CallOffPlan, SchedulePlan
from core.customers.take_effect import TakeEffect
from core.errors import DomainError
from core.history.explain_usage import ExplainUsage
from core.history.past_days import PastDays
from core.history.read_forecast import ReadForecast
from core.history.read_history import ReadHistory
from core.learning.abandon_practice_session import AbandonPracticeSession
from core.learning.create_learning_plan import CreateLearningPlan
from core.learning.save_practice_session import SavePracticeSession
from core.learning.start_practice_session import StartPracticeSession
from core.learning.take_assessment import TakeAssessment
from core.metering.answer_once import AnswerOnce
from core.metering.check_usage import CheckUsage
from core.metering.consume_usage import ConsumeUsage
from core.metering.correct_record import CorrectRecord
from core.metering.extend_reservation import ExtendReservation
from core.metering.finish_reservation import CommitReservation, ReleaseReservation
from core.metering.idempotency import Replay
from core.metering.ingest_events import IngestEvents
from core.metering.issue_grant import IssueGrant
from core.metering.map_event_types import MapEventTypes
from core.metering.note_expiry import NoteExpiry
from core.metering.note_grant import NoteGrant
from core.metering.owned import Owned, OwnedReader
from core.metering.reserve_usage import ReserveUsage
from core.metering.use_case import AccountCommand, AccountUseCase, Call
from core.metering.void_grant import VoidGrant
from core.operations.add_step import AddStep
from core.operations.budget import ReadBudget
from core.operations.check_budget import CheckBudget
from core.operations.finish_operation import FinishOperation
from core.operations.start_operation import StartOperation
from core.outage.book_admitted import BookAdmitted
from core.outage.last_known import LastKnown
from core.plans.publish_plan import DeclareFeature, PublishPlan
from core.portal.begin_session import BeginSession
from core.portal.open_page import OpenPage
from core.products import BUILT_IN, BUILT_IN_STATIC, OPTIONS
from core.reconciliation.reconcile import Reconcile
from core.reconciliation.repair_usage import RepairUsage
from core.sessions.complete_session import CompleteSession
from core.sessions.confirm_upload import ConfirmUpload
from core.sessions.create_session import CreateSession
from core.sessions.fail_session import FailSession
from core.sessions.receive_upload import AttachFile, ReceiveUpload
from core.sessions.request_upload import RequestUpload
from infrastructure.batching.gathered_keys import GatheredServiceKeys
from infrastructure.batching.group_commit import GroupCommit
from infrastructure.batching.retries import Executing, Retried
from infrastructure.batching.shared_breakdowns import SharedBreakdowns
from infrastructure.embedded.data_directory import DataDirectory
from infrastructure.ids import new_id
from infrastructure.logs.formats import set_up
from infrastructure.logs.lines import OutputLines
from infrastructure.measured import Measured
from infrastructure.outage.admit import AdmitOnOutage
from infrastructure.outage.journal import OutageJournal
from infrastructure.outage.recovery import Recovery
from infrastructure.outage.remembered_keys import RememberedServiceKeys
from infrastructure.outage.state import Outage
from infrastructure.phone_numbers import LibraryPhoneNumbers, LibraryPhoneRegions
from infrastructure.sql.driver.connections import Connections
from infrastructure.sql.driver.pool import create_engine
from infrastructure.sql.engine.account_reader import SqlAccountReader
from infrastructure.sql.engine.alerts import SqlAlertReader
from infrastructure.sql.engine.customers import SqlCustomerReader
from infrastructure.sql.engine.event_types import SqlEventTypeReader
from infrastructure.sql.engine.grants import SqlGrantReader
from infrastructure.sql.engine.key_uses import SqlKeyUses
from infrastructure.sql.engine.ledger_reader import SqlLedgerReader
from infrastructure.sql.engine.past_accounts import SqlPastAccounts
from infrastructure.sql.engine.plans import PlanCatalog, SqlPlanReader
from infrastructure.sql.engine.remembering import RememberingUnitOfWork
from infrastructure.sql.engine.reservations import SqlReservationReader
from infrastructure.sql.engine.service_keys import SqlServiceKeyReader
from infrastructure.sql.engine.terms import SqlTermsReader
from infrastructure.sql.history.facts import SqlUsageFacts
from infrastructure.sql.history.refusals import SqlRefusals
from infrastructure.sql.history.sums import SqlUsageSums
from infrastructure.sql.pages.console_sessions import SqlConsoleSessions
from infrastructure.sql.pages.portal_sessions import SqlPortalSessions
from infrastructure.sql.pages.watch import SqlUsageWatch
from infrastructure.sql.products.conversations import SqlConversationReader
from infrastructure.sql.products.learning import SqlLearningPlanReader
from infrastructure.sql.products.operations import SqlOperationReader
from infrastructure.sql.products.sessions import SqlSessionReader
from infrastructure.sql.registry import READERS, evidence_of, repositories_of
from infrastructure.sql.upkeep.clock_events import SqlClockEvents
from infrastructure.sql.upkeep.customer_rows import SqlCustomerRows
from infrastructure.sql.upkeep.deletion import SqlCustomerDeletions
from infrastructure.sql.upkeep.drift import SqlDriftReader
from infrastructure.sql.upkeep.health import SqlHealth
from infrastructure.sql.upkeep.lost_connections import LostConnections
from infrastructure.sql.upkeep.roll_up import SqlRoller
from infrastructure.sql.upkeep.sweep import SqlSweeper
from infrastructure.sql.upkeep.vital_signs import VitalSigns
from infrastructure.storage.local_disk import LocalDiskUploads
from infrastructure.user_tokens import JwtUserTokens, PublishedKeys

C = TypeVar("C", bound=AccountCommand)
R = TypeVar("R")
P = ParamSpec("P")
V = TypeVar("V", bound=Owned)

UnitsOfWork: TypeAlias = "providers.Factory[RememberingUnitOfWork]"

TEMPORARY_FILES_KEPT_FOR: Final = timedelta(hours=6)


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)  # noqa: TID251 - this is the edge where time enters


def http_client(settings: Settings) -> httpx.AsyncClient | None:
    """Only where there is something to ask for: making a client takes as long as a hundred requests."""
    return httpx.AsyncClient() if settings.jwks_url else None


def user_tokens(settings: Settings, client: httpx.AsyncClient | None, clock: Clock) -> UserTokens:
    """Tokens of our own signing, of an identity provider's, of both, or none at all."""
    published = PublishedKeys(settings.jwks_url, client, clock) if settings.jwks_url and client else None
    secret = revealed(settings.jwt_secret)
    old = [secret.get_secret_value() for secret in settings.jwt_secrets_old]
    return JwtUserTokens(clock, secret=secret, old_secrets=old, published_keys=published, audience=settings.jwt_audience)


def local_disk(settings: Settings, new_id: Callable[[], UUID]) -> LocalDiskUploads:
    """Uploads in the data directory, their URLs signed with a secret that all processes of this directory share."""
    directory = DataDirectory(settings.data_dir)
    secret = revealed(settings.upload_secret) or directory.secret("upload_secret")
    return LocalDiskUploads(Path(directory.path, "uploads"), secret.encode(), settings.public_url, new_id)


def outage_journal(settings: Settings, clock: Clock, new_id: Callable[[], UUID]) -> OutageJournal:
    """One for each process, in a directory that the processes of a machine share."""
    age_max = timedelta(seconds=settings.journal_seconds_max)
    return OutageJournal(settings.journal_directory, settings.journal_bytes_max, age_max, clock, new_id)


def remembered_keys(keys: ServiceKeyReader, outage: Outage, clock: Clock, settings: Settings) -> RememberedServiceKeys:
    """Keys are known without the database for as long as decisions are made without it."""
    return RememberedServiceKeys(keys, outage, clock, timedelta(seconds=settings.journal_seconds_max))


def in_groups(
    use_case: Callable[..., AccountUseCase[C, R, Any]], unit_of_work: UnitsOfWork, *more: providers.Provider[Any]
) -> providers.Singleton[GroupCommit[C, R]]:
    """The use case as every process runs it: measured, and its concurrent commands sharing transactions."""
    return providers.Singleton(GroupCommit, providers.Factory(Measured, providers.Factory(use_case, unit_of_work.provider, *more)))


def in_lists(
    use_case: Callable[..., AccountUseCase[C, R, Any]], unit_of_work: UnitsOfWork, clock: providers.Provider[Clock]
) -> providers.Factory[Retried[[Sequence[Call[C]]], Sequence[R | Replay | DomainError]]]:
    """A use case of the service's own: whoever has a list of commands has them carried out, and run again where a race was lost."""
    return providers.Factory(Retried, providers.Factory(use_case, unit_of_work.provider, clock))


def alone(use_case: Callable[..., Executing[P, R]], unit_of_work: UnitsOfWork, *more: object) -> providers.Factory[Retried[P, R]]:
    """A use case that concerns no account: each call has a transaction of its own, and is run again where it lost a race."""
    return providers.Factory(Retried, providers.Factory(use_case, unit_of_work.provider, *more))


def reader_of(kind: type[V], connections: providers.Provider[Connections]) -> providers.Singleton[OwnedReader[V]]:
    """The reader of a kind of things that is kept just as it is."""
    return providers.Singleton(READERS[kind], connections)


class Container(containers.DeclarativeContainer):
    """What a process is made of. One instance serves one event loop."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    clock = providers.Object(utc_now)
    new_id = providers.Object(new_id)
    set_up_log = providers.Callable(set_up, settings.provided.log_format, settings.provided.log_level)
    output_lines = providers.Singleton(OutputLines)

    engine = providers.Singleton(
        create_engine, settings.provided.database_url, settings.provided.statement_seconds_max, settings.provided.statements
    )
    connections = providers.Singleton(Connections, engine)
    http_client = providers.Singleton(http_client, settings)
    health = providers.Singleton(SqlHealth, connections, settings.provided.schema_newer)
    lost_connections = providers.Singleton(LostConnections, connections, health, settings.provided.database_url)

    plan_options = providers.Object(OPTIONS)
    plan_catalog = providers.Singleton(PlanCatalog, BUILT_IN, plan_options)
    outage = providers.Singleton(Outage)
    last_known = providers.Singleton(LastKnown)
    outage_journal = providers.Singleton(outage_journal, settings, clock, new_id)
    unit_of_work = providers.Factory(
        RememberingUnitOfWork,
        connections,
        plan_catalog,
        new_id,
        providers.Singleton(repositories_of, settings.provided.products),
        last_known,
    )

    service_keys = providers.Singleton(
        remembered_keys,
        providers.Singleton(GatheredServiceKeys, providers.Singleton(SqlServiceKeyReader, connections)),
        outage,
        clock,
        settings,
    )
    create_key = alone(CreateKey, unit_of_work, clock, new_id)
    rotate_key = alone(RotateKey, unit_of_work, clock, new_id)
    revoke_key = alone(RevokeKey, unit_of_work, clock)
    key_uses = providers.Singleton(SqlKeyUses, connections, clock)
    user_tokens = providers.Singleton(user_tokens, settings, http_client, clock)
    bootstrap_key = providers.Callable(revealed, settings.provided.admin_key)
    old_bootstrap_key = providers.Callable(revealed, settings.provided.admin_key_old)
    authenticator = providers.Singleton(
        Authenticator, service_keys, user_tokens, clock, key_uses.provided.note, bootstrap_key, old_bootstrap_key
    )

    customer_reader = providers.Singleton(SqlCustomerReader, connections)
    phone_regions = providers.Singleton(LibraryPhoneRegions)
    put_customer = alone(PutCustomer, unit_of_work, clock, phone_regions, new_id)
    change_customer = alone(ChangeCustomer, unit_of_work, clock, phone_regions, new_id)
    terms_reader = providers.Singleton(SqlTermsReader, connections)
    schedule_plan = alone(SchedulePlan, unit_of_work, clock, new_id)
    call_off_plan = alone(CallOffPlan, unit_of_work, clock, new_id)
    override_limit = alone(OverrideLimit, unit_of_work, clock, new_id)
    end_override = alone(EndOverride, unit_of_work, clock, new_id)
    put_addon = alone(PutAddon, unit_of_work, clock, new_id)
    put_alerts = alone(PutAlerts, unit_of_work, clock, new_id)
    end_alerts = alone(EndAlerts, unit_of_work, clock, new_id)
    take_effect = alone(TakeEffect, unit_of_work, clock, new_id)
    alert_reader = providers.Singleton(SqlAlertReader, connections)

    plan_reader = providers.Singleton(SqlPlanReader, connections, plan_catalog)
    publish_plan = alone(PublishPlan, unit_of_work)
    declare_feature = alone(DeclareFeature, unit_of_work, BUILT_IN_STATIC)

    account_reader = providers.Singleton(SqlAccountReader, connections, plan_catalog, new_id)
    list_customers = providers.Factory(ListCustomers, customer_reader, account_reader, clock)
    past_accounts = providers.Singleton(SqlPastAccounts, connections, plan_catalog, new_id)
    move_plan = providers.Factory(MovePlan, customer_reader, account_reader, plan_reader, change_customer, schedule_plan, clock)
    ledger_reader = providers.Singleton(SharedBreakdowns, providers.Factory(SqlLedgerReader, connections))
    reservation_reader = providers.Singleton(SqlReservationReader, connections)
    portal_sessions = providers.Singleton(SqlPortalSessions, connections)
    console_sessions = providers.Singleton(SqlConsoleSessions, connections)
    begin_portal_session = providers.Factory(BeginSession, portal_sessions, clock, new_id)
    open_page = providers.Factory(OpenPage, portal_sessions, clock)
    usage_watch = providers.Singleton(SqlUsageWatch, connections)
    refusals = providers.Singleton(SqlRefusals, connections, clock, new_id)
    usage_sums = providers.Singleton(SqlUsageSums, connections)
    read_history = providers.Factory(ReadHistory, terms_reader, plan_reader, usage_sums, clock)
    past_days = providers.Factory(PastDays, terms_reader, plan_reader, usage_sums)
    read_forecast = providers.Factory(ReadForecast, account_reader, past_days, clock)
    usage_facts = providers.Singleton(SqlUsageFacts, connections)
    explain_usage = providers.Factory(ExplainUsage, account_reader, past_accounts, terms_reader, plan_reader, usage_facts, clock)
    check_usage = providers.Factory(CheckUsage, account_reader, clock)
    consume_usage = providers.Singleton(
        AdmitOnOutage,
        in_groups(ConsumeUsage, unit_of_work, clock),
        outage,
        last_known,
        outage_journal,
        plan_catalog.provided.features,
        clock,
        new_id,
    )
    book_admitted = in_groups(BookAdmitted, unit_of_work, clock)
    recovery = providers.Singleton(Recovery, outage, last_known, outage_journal, book_admitted, plan_reader.provided.on_outage, clock)
    event_type_reader = providers.Singleton(SqlEventTypeReader, connections)
    map_event_types = alone(MapEventTypes, unit_of_work)
    ingest_events = in_groups(IngestEvents, unit_of_work, clock)
    answer_once = providers.Factory(AnswerOnce, unit_of_work.provider, clock)
    correct_record = in_groups(CorrectRecord, unit_of_work, clock)
    grant_reader = providers.Singleton(SqlGrantReader, connections)
    issue_grant = in_groups(IssueGrant, unit_of_work, clock)
    void_grant = in_groups(VoidGrant, unit_of_work, clock)
    reserve_usage = in_groups(ReserveUsage, unit_of_work, clock)
    commit_reservation = in_groups(CommitReservation, unit_of_work, clock)
    release_reservation = in_groups(ReleaseReservation, unit_of_work, clock)
    extend_reservation = in_groups(ExtendReservation, unit_of_work, clock)

    drift_reader = providers.Singleton(
        SqlDriftReader, connections, plan_catalog, providers.Callable(evidence_of, settings.provided.products)
    )
    repair_usage = in_groups(RepairUsage, unit_of_work, clock)
    roller = providers.Singleton(SqlRoller, connections, clock, new_id)
    reconcile = providers.Factory(Reconcile, drift_reader, account_reader, repair_usage, roller)
    note_expiry = in_lists(NoteExpiry, unit_of_work, clock)
    note_grant = in_lists(NoteGrant, unit_of_work, clock)
    clock_events = providers.Singleton(
        SqlClockEvents,
        connections,
        clock,
        note_expiry,
        note_grant,
        take_effect.provider,
    )
    sweeper = providers.Singleton(SqlSweeper, connections, clock)
    vital_signs = providers.Singleton(VitalSigns, engine, connections)

    uploads = providers.Singleton(local_disk, settings, new_id)
    customer_deletions = providers.Singleton(SqlCustomerDeletions, connections, uploads.provider, new_id)
    export_customer = providers.Factory(ExportCustomer, providers.Singleton(SqlCustomerRows, connections, clock), uploads.provider)
    session_reader = providers.Singleton(SqlSessionReader, connections)
    create_session = in_groups(CreateSession, unit_of_work, clock)
    request_upload = in_groups(RequestUpload, unit_of_work, clock, uploads)
    attach_file = in_groups(AttachFile, unit_of_work, clock)
    receive_upload = providers.Factory(ReceiveUpload, uploads, session_reader, attach_file, clock)
    confirm_upload = in_groups(ConfirmUpload, unit_of_work, clock)
    complete_session = in_groups(CompleteSession, unit_of_work, clock)
    fail_session = in_groups(FailSession, unit_of_work, clock)

    operation_reader = providers.Singleton(SqlOperationReader, connections)
    start_operation = in_groups(StartOperation, unit_of_work, clock)
    add_step = in_groups(AddStep, unit_of_work, clock)
    finish_operation = in_groups(FinishOperation, unit_of_work, clock)
    read_budget = providers.Factory(ReadBudget, account_reader, ledger_reader, clock)
    check_budget = providers.Factory(CheckBudget, account_reader, clock)

    conversation_reader = providers.Singleton(SqlConversationReader, connections)
    phone_numbers = providers.Singleton(LibraryPhoneNumbers)
    record_message = in_groups(RecordMessage, unit_of_work, clock, new_id, phone_numbers)

    learning_plan_reader = providers.Singleton(SqlLearningPlanReader, connections)
    create_learning_plan = in_groups(CreateLearningPlan, unit_of_work, clock)
    start_practice_session = in_groups(StartPracticeSession, unit_of_work, clock)
    abandon_practice_session = in_groups(AbandonPracticeSession, unit_of_work, clock)
    save_practice_session = in_groups(SavePracticeSession, unit_of_work, clock)
    take_assessment = in_groups(TakeAssessment, unit_of_work, clock)


@asynccontextmanager
async def running(container: Container) -> AsyncIterator[None]:
    """A process from start to end: what was accepted is carried out before the connections are closed."""
    if takes_uploads(container):
        container.uploads().sweep(TEMPORARY_FILES_KEPT_FOR)
    await container.recovery().learn()
    runners = (
        container.sweeper(),
        container.roller(),
        container.clock_events(),
        container.key_uses(),
        container.refusals(),
        container.customer_deletions(),
        container.lost_connections(),
        container.vital_signs(),
        container.recovery(),
    )
    beside = [asyncio.create_task(runner.run()) for runner in runners]
    try:
        yield
    finally:
        for work in beside:
            work.cancel()
        await drained(container)
        await container.key_uses().write()
        await container.refusals().write()
        container.outage_journal().close()
        await closed(container)


def takes_uploads(container: Container) -> bool:
    """Files are a part of coaching sessions."""
    return "sessions" in container.settings().products


async def drained(container: Container) -> None:
    """Returns when all that was asked of the use cases has been decided."""
    for provider in container.traverse([providers.Singleton]):
        if provider.provides is GroupCommit:
            await provider().drain()


async def closed(container: Container) -> None:
    """Lets go of everything that a container has opened."""
    client = container.http_client()
    if client is not None:
        await client.aclose()
    await container.connections().close()
    await container.engine().dispose()
