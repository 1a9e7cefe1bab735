"""The composition root: the only module that knows which adapter stands behind which port."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import uuid_utils.compat
from dependency_injector import containers, providers

from api.settings import Settings, revealed
from core.access.authenticate import Authenticator
from core.access.ports import UserTokens
from core.conversations.record_message import RecordMessage
from core.customers.put_customer import ChangeCustomer, PutCustomer
from core.learning.create_learning_plan import CreateLearningPlan
from core.learning.save_practice_session import SavePracticeSession
from core.learning.start_practice_session import StartPracticeSession
from core.learning.take_assessment import TakeAssessment
from core.metering.check_usage import CheckUsage
from core.metering.consume_usage import ConsumeUsage
from core.metering.correct_record import CorrectRecord
from core.metering.finish_reservation import CommitReservation, ReleaseReservation
from core.metering.ingest_events import IngestEvents
from core.metering.publish_plan import DeclareFeature, PublishPlan
from core.metering.reconcile import Reconcile, RepairUsage
from core.metering.reserve_usage import ReserveUsage
from core.operations.add_step import AddStep
from core.operations.budget import ReadBudget
from core.operations.check_budget import CheckBudget
from core.operations.finish_operation import FinishOperation
from core.operations.start_operation import StartOperation
from core.sessions.complete_session import CompleteSession
from core.sessions.confirm_upload import ConfirmUpload
from core.sessions.create_session import CreateSession
from core.sessions.fail_session import FailSession
from core.sessions.receive_upload import AttachFile, ReceiveUpload
from core.sessions.request_upload import RequestUpload
from infrastructure.data_directory import DataDirectory
from infrastructure.gathered_keys import GatheredServiceKeys
from infrastructure.group_commit import GroupCommit
from infrastructure.phone_numbers import LibraryPhoneNumbers
from infrastructure.sql.account_reader import SqlAccountReader
from infrastructure.sql.conversations import SqlConversationReader
from infrastructure.sql.customers import SqlCustomers
from infrastructure.sql.drift import SqlDriftReader
from infrastructure.sql.engine import create_engine
from infrastructure.sql.health import SqlHealth
from infrastructure.sql.learning import SqlLearningPlanReader
from infrastructure.sql.ledger_reader import SqlLedgerReader
from infrastructure.sql.operations import SqlOperationReader
from infrastructure.sql.plans import SqlPlans
from infrastructure.sql.reservations import SqlReservationReader
from infrastructure.sql.service_keys import SqlServiceKeys
from infrastructure.sql.sessions import SqlSessionReader
from infrastructure.sql.sweep import SqlSweeper
from infrastructure.sql.unit_of_work import SqlUnitOfWork
from infrastructure.storage.local_disk import LocalDiskUploads
from infrastructure.user_tokens import JwtUserTokens, PublishedKeys

TEMPORARY_FILES_KEPT_FOR: Final = timedelta(hours=6)


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)  # noqa: TID251 - this is the edge where time enters


def user_tokens(settings: Settings, client: httpx.AsyncClient, clock: Any) -> UserTokens:
    """Tokens of our own signing, of an identity provider's, of both, or none at all."""
    published = PublishedKeys(settings.jwks_url, client, clock) if settings.jwks_url else None
    secret = revealed(settings.jwt_secret)
    return JwtUserTokens(clock, secret=secret, published_keys=published, audience=settings.jwt_audience)


def local_disk(settings: Settings, new_id: Any) -> LocalDiskUploads:
    """Uploads in the data directory, their URLs signed with a secret that all processes of this directory share."""
    directory = DataDirectory(settings.data_dir)
    secret = revealed(settings.upload_secret) or directory.secret("upload_secret")
    return LocalDiskUploads(Path(directory.path, "uploads"), secret.encode(), settings.public_url, new_id)


class Container(containers.DeclarativeContainer):
    """What a process is made of. One instance serves one event loop."""

    settings: providers.Dependency[Settings] = providers.Dependency(instance_of=Settings)
    clock = providers.Object(utc_now)
    new_id = providers.Object(uuid_utils.compat.uuid7)

    engine = providers.Singleton(create_engine, settings.provided.database_url)
    http_client = providers.Singleton(httpx.AsyncClient)
    health = providers.Singleton(SqlHealth, engine)

    plans = providers.Singleton(SqlPlans, engine)
    customers = providers.Singleton(SqlCustomers, engine)
    unit_of_work = providers.Factory(SqlUnitOfWork, engine, plans, new_id)

    service_keys = providers.Singleton(GatheredServiceKeys, providers.Singleton(SqlServiceKeys, engine))
    user_tokens = providers.Singleton(user_tokens, settings, http_client, clock)
    bootstrap_key = providers.Callable(revealed, settings.provided.admin_key)
    authenticator = providers.Singleton(Authenticator, service_keys, user_tokens, bootstrap_key)

    put_customer = providers.Factory(PutCustomer, customers, plans, clock)
    change_customer = providers.Factory(ChangeCustomer, customers, plans, clock)
    publish_plan = providers.Factory(PublishPlan, plans)
    declare_feature = providers.Factory(DeclareFeature, plans)

    account_reader = providers.Singleton(SqlAccountReader, engine, plans, new_id)
    ledger_reader = providers.Singleton(SqlLedgerReader, engine)
    reservation_reader = providers.Singleton(SqlReservationReader, engine)
    check_usage = providers.Factory(CheckUsage, account_reader, clock)
    consume_usage = providers.Singleton(GroupCommit, providers.Factory(ConsumeUsage, unit_of_work.provider, clock))
    ingest_events = providers.Singleton(GroupCommit, providers.Factory(IngestEvents, unit_of_work.provider, clock))
    correct_record = providers.Singleton(GroupCommit, providers.Factory(CorrectRecord, unit_of_work.provider, clock))
    reserve_usage = providers.Singleton(GroupCommit, providers.Factory(ReserveUsage, unit_of_work.provider, clock, new_id))
    commit_reservation = providers.Singleton(GroupCommit, providers.Factory(CommitReservation, unit_of_work.provider, clock))
    release_reservation = providers.Singleton(GroupCommit, providers.Factory(ReleaseReservation, unit_of_work.provider, clock))

    drift_reader = providers.Singleton(SqlDriftReader, engine)
    repair_usage = providers.Singleton(GroupCommit, providers.Factory(RepairUsage, unit_of_work.provider, clock))
    reconcile = providers.Factory(Reconcile, drift_reader, account_reader, repair_usage)
    sweeper = providers.Singleton(SqlSweeper, engine, clock)

    uploads = providers.Singleton(local_disk, settings, new_id)
    session_reader = providers.Singleton(SqlSessionReader, engine)
    create_session = providers.Singleton(GroupCommit, providers.Factory(CreateSession, unit_of_work.provider, clock, new_id))
    request_upload = providers.Singleton(GroupCommit, providers.Factory(RequestUpload, unit_of_work.provider, clock, uploads))
    attach_file = providers.Singleton(GroupCommit, providers.Factory(AttachFile, unit_of_work.provider, clock))
    receive_upload = providers.Factory(ReceiveUpload, uploads, session_reader, attach_file, clock)
    confirm_upload = providers.Singleton(GroupCommit, providers.Factory(ConfirmUpload, unit_of_work.provider, clock))
    complete_session = providers.Singleton(GroupCommit, providers.Factory(CompleteSession, unit_of_work.provider, clock))
    fail_session = providers.Singleton(GroupCommit, providers.Factory(FailSession, unit_of_work.provider, clock))

    operation_reader = providers.Singleton(SqlOperationReader, engine)
    start_operation = providers.Singleton(GroupCommit, providers.Factory(StartOperation, unit_of_work.provider, clock, new_id))
    add_step = providers.Singleton(GroupCommit, providers.Factory(AddStep, unit_of_work.provider, clock, new_id))
    finish_operation = providers.Singleton(GroupCommit, providers.Factory(FinishOperation, unit_of_work.provider, clock, new_id))
    read_budget = providers.Factory(ReadBudget, account_reader, ledger_reader, clock)
    check_budget = providers.Factory(CheckBudget, account_reader, clock)

    conversation_reader = providers.Singleton(SqlConversationReader, engine)
    phone_numbers = providers.Singleton(LibraryPhoneNumbers)
    record_message = providers.Singleton(
        GroupCommit, providers.Factory(RecordMessage, unit_of_work.provider, clock, new_id, phone_numbers)
    )

    learning_plan_reader = providers.Singleton(SqlLearningPlanReader, engine)
    create_learning_plan = providers.Singleton(GroupCommit, providers.Factory(CreateLearningPlan, unit_of_work.provider, clock, new_id))
    start_practice_session = providers.Singleton(GroupCommit, providers.Factory(StartPracticeSession, unit_of_work.provider, clock, new_id))
    save_practice_session = providers.Singleton(GroupCommit, providers.Factory(SavePracticeSession, unit_of_work.provider, clock, new_id))
    take_assessment = providers.Singleton(GroupCommit, providers.Factory(TakeAssessment, unit_of_work.provider, clock, new_id))


@asynccontextmanager
async def running(container: Container) -> AsyncIterator[None]:
    """A process from start to end: what was accepted is carried out before the connections are closed."""
    container.uploads().sweep(TEMPORARY_FILES_KEPT_FOR)
    sweeping = asyncio.create_task(container.sweeper().run())
    try:
        yield
    finally:
        sweeping.cancel()
        for provider in container.traverse([providers.Singleton]):
            if provider.provides is GroupCommit:
                await provider().drain()
        await container.http_client().aclose()
        await container.engine().dispose()
